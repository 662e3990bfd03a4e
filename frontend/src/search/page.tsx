import { useEffect, useMemo, useState } from "react";
import { useLocation } from "wouter";
import type { Hit } from "@/api/types";
import { useSearchState, useViewed } from "@/search/address";
import { SearchBox } from "@/search/box";
import { Controls } from "@/search/controls";
import { useFeedback } from "@/search/feedback";
import { type Mark, markOf, NO_MARKS, withMark } from "@/search/marks";
import { MarksStrip } from "@/search/marks-strip";
import { modeOf } from "@/search/mode";
import { ModeSwitch } from "@/search/mode-switch";
import { NoResults } from "@/search/outcome";
import { titleOf, withImage } from "@/search/parts";
import { QueryNotes } from "@/search/query-notes";
import { QueryPreview } from "@/search/query-preview";
import { Results } from "@/search/results";
import { useSearch } from "@/search/run";
import { firstOf, sectionsOf } from "@/search/sections";
import { Start } from "@/search/start";
import { format, likeThis, type SearchState } from "@/search/state";
import { Summary } from "@/search/summary";
import { useReadsText } from "@/search/towers";
import { useSettled, useTitle } from "@/ui/hooks";
import type { MenuItem } from "@/ui/menu";
import { LazyViewer } from "@/viewer/lazy-viewer";

const NONE: ReadonlySet<string> = new Set();

export function SearchPage() {
  const [state, update] = useSearchState();
  const { open } = useViewed();
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

  const readsText = useReadsText();
  const mode = modeOf(state, readsText ?? true);
  const search = useSearch(state, readsText);
  const hits = search.data?.results;
  const shown = useMemo(
    () =>
      firstOf(
        // Other modes have other scores, which say nothing by themselves.
        (hits ?? []).filter((hit) => mode !== "look" || hit.score >= least || least === 0),
        count,
        false,
      ),
    [hits, mode, least, count],
  );
  const sections = useMemo(() => sectionsOf(shown, null, NONE), [shown]);
  const shareable = useTwins(state, hits);
  const menuOf = useMenu(state, update);
  const tell = useFeedback(parts, search.data?.query_id);
  const onMark = (id: string, mark: Mark | null) => {
    update(withMark(state, id, mark));
    tell(id, mark);
  };

  const viewer = <LazyViewer pictures={shown} mode={mode} />;
  if (parts.length === 0) {
    return (
      <>
        <Start />
        {viewer}
      </>
    );
  }

  return (
    <div className="mx-auto grid w-full max-w-[140rem] flex-1 content-start gap-x-8 gap-y-4 px-4 py-4 max-lg:grid-cols-[minmax(0,1fr)] sm:px-6 lg:grid-cols-[18rem_minmax(0,1fr)] lg:gap-y-6 lg:px-8 lg:py-6">
      <div className="lg:col-span-2">
        <SearchBox state={state} update={update} hits={hits} />
        <ModeSwitch state={state} update={update} />
        <QueryNotes error={search.error} truncated={search.data?.truncated ?? false} />
      </div>
      <aside
        aria-label="Query"
        className="space-y-5 lg:sticky lg:top-24 lg:max-h-[calc(100dvh-7rem)] lg:self-start lg:overflow-y-auto lg:pb-2"
      >
        <QueryPreview parts={parts} />
        <Controls
          count={count}
          least={mode === "look" ? least : null}
          rules={rules}
          onCount={setCount}
          onLeast={setLeast}
          onRules={(changed) => update({ rules: changed })}
        />
      </aside>
      <section aria-label="Results" aria-busy={search.isFetching}>
        <Summary
          answer={search.data}
          mode={mode}
          shown={shown.length}
          fetching={search.isFetching}
          shareable={shareable}
        >
          <MarksStrip
            liked={state.liked}
            disliked={state.disliked}
            onTakeBack={(id) => onMark(id, null)}
            onClear={() => {
              update(NO_MARKS);
              for (const id of [...state.liked, ...state.disliked]) tell(id, null);
            }}
          />
        </Summary>
        {shown.length > 0 && !search.isError ? (
          <Results
            sections={sections}
            mode={mode}
            markOf={(id) => markOf(state, id)}
            onMark={onMark}
            menuOf={menuOf}
            onOpen={open}
          />
        ) : (
          <NoResults state={state} search={search} least={least} onLeast={setLeast} update={update} />
        )}
      </section>
      {viewer}
    </div>
  );
}

type Update = (change: Partial<SearchState>) => void;

/** What can be done with a result. */
function useMenu({ parts }: SearchState, update: Update): (id: string) => MenuItem[] {
  const [, navigate] = useLocation();
  return (id) => [
    { label: "Search with this only", icon: "search", run: () => navigate(likeThis(id)) },
    { label: "Add to the search", icon: "plus", run: () => update({ parts: withImage(parts, id, 1) }) },
    { label: "Not like this", icon: "ban", run: () => update({ parts: withImage(parts, id, -0.5) }) },
  ];
}

/**
 * An indexed image with the very same bytes makes the address one that works for others too: it is added as soon as it
 * is found. Returns whether the address works for others.
 */
function useTwins(state: SearchState, hits: Hit[] | undefined): boolean {
  const { viewed } = useViewed();
  const { parts } = state;
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
  return known.every((part) => part.kind !== "upload" || part.twin !== null);
}
