import { useEffect, useMemo, useState } from "react";
import { useLocation } from "wouter";
import type { Hit } from "@/api/types";
import { useSearchState, useViewed, withView } from "@/query/use-search-state";
import { SearchBox } from "@/search/search-box";
import { RankingControls } from "@/search/ranking-controls";
import { useFeedback } from "@/query/use-feedback";
import { type Mark, type Marking, markOf, NO_MARKS, withMark } from "@/query/feedback-marks";
import { MarksStrip } from "@/search/marks-strip";
import { effectiveMode, availableModes } from "@/query/search-mode";
import { ModeSwitch } from "@/search/mode-switch";
import { NoResults } from "@/search/no-results";
import { isSearchable, queryTitle, withImage } from "@/query/query-parts";
import { useProgress } from "@/search/progress";
import { QueryNotes } from "@/search/query-notes";
import { QueryPreview } from "@/search/query-preview";
import { Results } from "@/search/results";
import { useSearch } from "@/query/use-search";
import { scoreScale } from "@/query/score-scale";
import { takeGroups, viewerPictures, buildSections } from "@/search/result-sections";
import { StartPage } from "@/search/start-page";
import { searchParams, similarUrl, type SearchState } from "@/query/search-state";
import { effectiveStrategy } from "@/query/strategy";
import { StrategyChoice } from "@/search/strategy-choice";
import { Summary } from "@/search/summary";
import { likelyCount } from "@/search/tail";
import { useReadsText } from "@/query/use-text-model";
import { Button } from "@/ui/button";
import { useDebouncedControl, useTitle } from "@/ui/hooks";
import type { IconName } from "@/ui/icons";
import type { MenuItem } from "@/ui/menu";
import { LazyViewer } from "@/viewer/lazy-viewer";
import { PATHS } from "@/paths";

export function SearchPage() {
  const [state, update] = useSearchState();
  const { open } = useViewed();
  const { parts } = state;
  useTitle(queryTitle(parts));

  // These sliders act on what is there at once; the address bar follows when they rest.
  const [count, setCount] = useDebouncedControl(state.count, (rested) => update({ count: rested }));
  const [threshold, setThreshold] = useDebouncedControl(state.threshold, (rested) =>
    update({ threshold: rested }),
  );
  const [expanded, setExpanded] = useState<ReadonlySet<string>>(new Set());

  const known = useReadsText();
  const readsText = known ?? true;
  const mode = effectiveMode(state, readsText);
  const strategy = effectiveStrategy(state, readsText);
  const scale = scoreScale(mode, strategy);
  const search = useSearch(state, known);
  const hits = search.data?.results;
  const { stale, note } = useProgress(search);
  const shown = useMemo(() => {
    // The scores of other modes have no absolute meaning.
    const all = mode !== "vector" || state.autoThreshold || threshold === 0;
    const enough = (hits ?? []).filter((hit) => all || hit.score >= threshold);
    return takeGroups(enough, count, state.groupBy !== null);
  }, [hits, mode, state.autoThreshold, state.groupBy, threshold, count]);
  // In groups the last one may hold the likeliest hit; there nothing is folded.
  const likely = state.groupBy === null ? likelyCount(shown) : shown.length;
  const query = JSON.stringify([parts, mode]);
  const [unfolded, setUnfolded] = useState("");
  const tailShown = unfolded === query;
  const { groupBy, groupStep } = state;
  const grouping = useMemo(
    () => (groupBy === null ? null : { field: groupBy, step: groupStep }),
    [groupBy, groupStep],
  );
  const sections = useMemo(
    () => buildSections(tailShown ? shown : shown.slice(0, likely), grouping, expanded),
    [shown, likely, tailShown, grouping, expanded],
  );
  const shareable = useIndexedCopies(state, hits);
  const menuOf = useMenu(state, update);
  const sendFeedback = useFeedback(parts, search.data?.query_id);
  const onMark = (id: string, mark: Mark | null) => {
    update(withMark(state, id, mark));
    sendFeedback(id, mark);
  };

  if (parts.length === 0) {
    return (
      <>
        <StartPage />
        <LazyViewer pictures={[]} />
      </>
    );
  }
  const marking: Marking = { markOf: (id) => markOf(state, id), onMark };

  return (
    <div className="mx-auto grid w-full max-w-[140rem] flex-1 content-start gap-x-8 gap-y-4 px-4 py-4 max-lg:grid-cols-[minmax(0,1fr)] sm:px-6 lg:grid-cols-[18rem_minmax(0,1fr)] lg:gap-y-6 lg:px-8 lg:py-6">
      <div className="lg:col-span-2">
        <SearchBox state={state} update={update} answer={search.data} />
        <ModeSwitch state={state} update={update} />
        <QueryNotes error={search.error} truncated={search.data?.truncated ?? false} />
      </div>
      <aside
        aria-label="Query"
        className="flex flex-col gap-5 lg:sticky lg:top-24 lg:max-h-[calc(100dvh-7rem)] lg:self-start lg:overflow-y-auto"
      >
        <QueryPreview parts={parts} fetched={search.data?.query_previews} />
        <RankingControls
          state={state}
          update={update}
          mode={mode}
          strategy={strategy}
          count={count}
          onCount={setCount}
          threshold={threshold}
          onThreshold={setThreshold}
          cut={search.data?.threshold}
        />
        {/* Says that there is more below; at the end there is nothing below it that it could cover. */}
        <div
          aria-hidden
          className="pointer-events-none sticky bottom-0 -mt-5 h-8 shrink-0 bg-gradient-to-t from-canvas to-transparent max-lg:hidden"
        />
      </aside>
      <section aria-label="Results" aria-busy={search.isFetching}>
        <Summary
          answer={search.data}
          scale={scale}
          shown={shown.length}
          groups={state.groupBy === null ? null : sections.length}
          fetching={search.isFetching}
          stale={stale}
          note={note}
          shareable={shareable}
        >
          <MarksStrip
            positive={state.positive}
            negative={state.negative}
            onUndo={(id) => onMark(id, null)}
            onClear={() => {
              update(NO_MARKS);
              for (const id of [...state.positive, ...state.negative]) sendFeedback(id, null);
            }}
          >
            {strategy !== null && (
              <StrategyChoice state={state} strategy={strategy} readsText={readsText} update={update} />
            )}
          </MarksStrip>
        </Summary>
        {shown.length > 0 && !search.isError ? (
          <div className={`transition-opacity ${stale ? "opacity-50" : ""}`} data-testid="shown">
            <Results
              sections={sections}
              scale={scale}
              // Words and a picture are never the same, so their cosines stay far from 1; "best_score" has no cosines.
              bounded={
                mode === "vector" && strategy !== "best_score" && parts.some(({ kind }) => kind !== "text")
              }
              marking={marking}
              menuOf={menuOf}
              expanded={expanded}
              onExpand={(id) => setExpanded((before) => withToggled(before, id))}
              onOpen={open}
            />
            {likely < shown.length && (
              <div className="mt-8 flex items-center gap-3">
                <span className="h-px flex-1 bg-line" />
                <Button aria-expanded={tailShown} onClick={() => setUnfolded(tailShown ? "" : query)}>
                  Probably not what you mean ({shown.length - likely})
                </Button>
                <span className="h-px flex-1 bg-line" />
              </div>
            )}
          </div>
        ) : (
          <NoResults
            state={state}
            search={search}
            mode={mode}
            threshold={threshold}
            onThreshold={setThreshold}
            update={update}
          />
        )}
      </section>
      <LazyViewer pictures={viewerPictures(sections)} scale={scale} marking={marking} />
    </div>
  );
}

const withToggled = (ids: ReadonlySet<string>, id: string): ReadonlySet<string> =>
  ids.has(id) ? new Set([...ids].filter((other) => other !== id)) : new Set([...ids, id]);

type Update = (change: Partial<SearchState>) => void;

/** What can be done with a result. */
function useMenu(state: SearchState, update: Update): (id: string) => MenuItem[] {
  const [, navigate] = useLocation();
  const readsText = useReadsText() ?? true;
  return (id) => {
    const weigh = (label: string, icon: IconName, weight: number): MenuItem[] => {
      const parts = withImage(state.parts, id, weight);
      // A model that reads no words cannot search for words and against an image.
      const possible = isSearchable(parts) && availableModes({ ...state, parts }, readsText).length > 0;
      return possible ? [{ label, icon, run: () => update({ parts }) }] : [];
    };
    return [
      { label: "Search with this", icon: "search", run: () => navigate(similarUrl(id)) },
      ...weigh("Add to search", "plus", 1),
      ...weigh("Less like this", "ban", -0.5),
    ];
  };
}

/**
 * An indexed image with the very same bytes makes the address one that works for others too: it is added as soon as it
 * is found. Returns whether the address works for others.
 */
function useIndexedCopies(state: SearchState, hits: Hit[] | undefined): boolean {
  const { viewed } = useViewed();
  const { parts } = state;
  const known = useMemo(
    () =>
      parts.map((part) => {
        const copy =
          part.kind === "upload" &&
          part.indexedCopy === null &&
          hits?.find(({ sha256 }) => sha256 === part.key);
        return copy ? { ...part, indexedCopy: copy.image_id } : part;
      }),
    [parts, hits],
  );
  useEffect(() => {
    if (known.every((part, index) => part === parts[index])) return;
    const address = withView(PATHS.search, searchParams({ ...state, parts: known }), viewed);
    history.replaceState(history.state, "", address);
  }, [known, parts, state, viewed]);
  return known.every((part) => part.kind !== "upload" || part.indexedCopy !== null);
}
