import { useEffect, useMemo, useState } from "react";
import { Problem } from "@/api/problem";
import { useSearchState, useViewed } from "@/search/address";
import { Controls } from "@/search/controls";
import { QueryCard } from "@/search/query-card";
import { Results } from "@/search/results";
import { QueryLost, useSearch } from "@/search/run";
import { PickButtons, Start } from "@/search/start";
import { Summary } from "@/search/summary";
import { useSettled, useTitle } from "@/ui/hooks";
import { Failure, Note } from "@/ui/notes";
import { Button } from "@/ui/button";
import { LazyViewer } from "@/viewer/lazy-viewer";

export function SearchPage() {
  const [state, update] = useSearchState();
  const { open } = useViewed();
  const { query, rules } = state;
  useTitle(query === null ? "" : query.kind === "image" ? `Like ${query.id}` : "Results");

  // The sliders act on what is there at once; the address bar follows when they rest.
  const [count, setCount] = useState(state.count);
  const [least, setLeast] = useState(state.least);
  useEffect(() => setCount(state.count), [state.count]);
  useEffect(() => setLeast(state.least), [state.least]);
  const settledCount = useSettled(count, 300);
  const settledLeast = useSettled(least, 300);
  useEffect(() => {
    if (query !== null) update({ count: settledCount, least: settledLeast });
    // Only when the sliders have moved: not because the address has.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [settledCount, settledLeast]);

  const search = useSearch(query, rules);
  const hits = search.data?.results;
  const shown = useMemo(
    () => (hits ?? []).filter((hit) => hit.score >= least || least === 0).slice(0, count),
    [hits, least, count],
  );

  // An indexed image with the very same bytes makes the address one that works for others too.
  const twin =
    query?.kind === "upload" && query.twin === null
      ? hits?.find((hit) => hit.sha256 === query.key)
      : undefined;
  useEffect(() => {
    if (twin && query?.kind === "upload") {
      history.replaceState(history.state, "", addTwin(location.href, twin.image_id));
    }
  }, [twin, query]);

  const viewer = <LazyViewer pictures={shown} />;
  if (query === null) {
    return (
      <>
        <Start />
        {viewer}
      </>
    );
  }

  const best = hits?.[0];
  return (
    <div className="mx-auto grid w-full max-w-[140rem] flex-1 content-start gap-x-8 gap-y-5 px-4 py-5 sm:px-6 lg:grid-cols-[18rem_minmax(0,1fr)] lg:px-8 lg:py-8">
      <aside
        aria-label="Query"
        className="space-y-5 lg:sticky lg:top-24 lg:max-h-[calc(100dvh-7rem)] lg:self-start lg:overflow-y-auto lg:pb-2"
      >
        <QueryCard query={query} hits={hits} filtered={rules.length > 0} />
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
        <Summary answer={search.data} shown={shown.length} fetching={search.isFetching} />
        {search.isError ? (
          search.error instanceof QueryLost ? (
            <Note icon="link" title="The image of this link is elsewhere" actions={<PickButtons />}>
              {search.error.message}
            </Note>
          ) : (
            <Failure
              error={search.error}
              onRetry={() => void search.refetch()}
              actions={search.error instanceof Problem && search.error.status < 500 && <PickButtons />}
            />
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

function addTwin(href: string, imageId: string): string {
  const url = new URL(href);
  url.searchParams.set("twin", imageId);
  return url.href;
}
