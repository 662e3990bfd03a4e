import { useEffect, useMemo, useState } from "react";
import { Problem } from "@/api/problem";
import { useSearchState, useViewed } from "@/search/address";
import { isOfTheQuery, QueryNotes } from "@/search/query-notes";
import { SearchBox } from "@/search/box";
import { Controls } from "@/search/controls";
import { isSearchable, titleOf } from "@/search/parts";
import { PickButtons } from "@/search/pick";
import { QueryPreview } from "@/search/query-preview";
import { Results } from "@/search/results";
import { QueryLost, useSearch } from "@/search/run";
import { Start } from "@/search/start";
import { format } from "@/search/state";
import { Summary } from "@/search/summary";
import { useSettled, useTitle } from "@/ui/hooks";
import { Failure, Note } from "@/ui/notes";
import { Button } from "@/ui/button";
import { LazyViewer } from "@/viewer/lazy-viewer";

export function SearchPage() {
  const [state, update] = useSearchState();
  const { open, viewed } = useViewed();
  const { parts, rules } = state;
  useTitle(titleOf(parts));

  // The sliders act on what is there at once; the address bar follows when they rest.
  const [count, setCount] = useState(state.count);
  const [least, setLeast] = useState(state.least);
  useEffect(() => setCount(state.count), [state.count]);
  useEffect(() => setLeast(state.least), [state.least]);
  const settledCount = useSettled(count, 300);
  const settledLeast = useSettled(least, 300);
  useEffect(() => {
    if (parts.length > 0) update({ count: settledCount, least: settledLeast });
    // Only when the sliders have moved: not because the address has.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [settledCount, settledLeast]);

  const search = useSearch(state);
  const hits = search.data?.results;
  const shown = useMemo(
    () => (hits ?? []).filter((hit) => hit.score >= least || least === 0).slice(0, count),
    [hits, least, count],
  );

  // An indexed image with the very same bytes makes the address one that works for others too.
  const known = useMemo(
    () =>
      parts.map((part) => {
        const twin =
          part.kind === "upload" && part.twin === null && hits?.find(({ sha256 }) => sha256 === part.key);
        return twin ? { ...part, twin: twin.image_id } : part;
      }),
    [parts, hits],
  );
  useEffect(() => {
    if (known.every((part, index) => part === parts[index])) return;
    const address = format({ ...state, parts: known });
    const view = viewed === null ? "" : `&view=${encodeURIComponent(viewed)}`;
    history.replaceState(history.state, "", `/${address}${view}`);
  }, [known, parts, state, viewed]);

  const viewer = <LazyViewer pictures={shown} />;
  if (parts.length === 0) {
    return (
      <>
        <Start />
        {viewer}
      </>
    );
  }

  const best = hits?.[0];
  return (
    <div className="mx-auto grid w-full max-w-[140rem] flex-1 content-start gap-x-8 gap-y-4 px-4 py-4 max-lg:grid-cols-[minmax(0,1fr)] sm:px-6 lg:grid-cols-[18rem_minmax(0,1fr)] lg:gap-y-6 lg:px-8 lg:py-6">
      <div className="lg:col-span-2">
        <SearchBox state={state} update={update} hits={hits} />
        <QueryNotes error={search.error} truncated={search.data?.truncated ?? false} />
      </div>
      <aside
        aria-label="Query"
        className="space-y-5 lg:sticky lg:top-24 lg:max-h-[calc(100dvh-7rem)] lg:self-start lg:overflow-y-auto lg:pb-2"
      >
        <QueryPreview parts={parts} />
        <Controls
          count={count}
          least={least}
          rules={rules}
          onCount={setCount}
          onLeast={setLeast}
          onRules={(changed) => update({ rules: changed })}
        />
      </aside>
      <section aria-label="Results" aria-busy={search.isFetching}>
        <Summary
          answer={search.data}
          shown={shown.length}
          fetching={search.isFetching}
          shareable={known.every((part) => part.kind !== "upload" || part.twin !== null)}
        />
        {!isSearchable(parts) ? (
          <Note icon="search" title="What is to be found?">
            So far the query only says what the images should not be like. Add words or a picture.
          </Note>
        ) : search.isError ? (
          search.error instanceof QueryLost ? (
            <Note icon="link" title="The image of this link is elsewhere" actions={<PickButtons />}>
              {search.error.message}
            </Note>
          ) : (
            !isOfTheQuery(search.error) && (
              <Failure
                error={search.error}
                onRetry={() => void search.refetch()}
                actions={search.error instanceof Problem && search.error.status < 500 && <PickButtons />}
              />
            )
          )
        ) : hits !== undefined && shown.length === 0 ? (
          best !== undefined ? (
            <Note
              icon="filter"
              title={`Nothing scores ${least.toFixed(2)} or more`}
              actions={<Button onClick={() => setLeast(0)}>Show all</Button>}
            >
              The best has {best.score.toFixed(2)}. Lower the least score to see it.
            </Note>
          ) : rules.length > 0 ? (
            <Note
              icon="filter"
              title="No image passes the filter"
              actions={<Button onClick={() => update({ rules: [] })}>Remove the filter</Button>}
            >
              Every condition must hold. Take one away to see more.
            </Note>
          ) : (
            <Note icon="library" title="There is nothing to compare with">
              The collection has no other image. Add some in the library, then search again.
            </Note>
          )
        ) : (
          <Results hits={search.isPending ? undefined : shown} onOpen={open} />
        )}
      </section>
      {viewer}
    </div>
  );
}
