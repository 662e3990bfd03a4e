import { Link } from "wouter";
import { Problem } from "@/api/problem";
import { PATHS } from "@/paths";
import { ResultPlaceholders } from "@/search/results";
import type { useSearch } from "@/query/use-search";
import { MissingQueryImage } from "@/query/use-search";
import { isSearchable } from "@/query/query-parts";
import { NO_MARKS } from "@/query/feedback-marks";
import type { Mode } from "@/query/modes";
import { availableModes } from "@/query/search-mode";
import { ImagePickerButtons } from "@/search/image-picker";
import { isOfTheQuery } from "@/search/query-notes";
import type { SearchState } from "@/query/search-state";
import { useReadsText } from "@/query/use-text-model";
import { Button, buttonClass } from "@/ui/button";
import { Failure, Note } from "@/ui/notes";

interface Props {
  state: SearchState;
  search: ReturnType<typeof useSearch>;
  mode: Mode;
  threshold: number;
  onThreshold: (threshold: number) => void;
  update: (change: Partial<SearchState>) => void;
}

/** Shown in place of results: why there are none, and what to do. */
export function NoResults({ state, search, mode, threshold, onThreshold, update }: Props) {
  const { error } = search;
  const readsText = useReadsText() ?? true;
  const best = search.data?.results[0];
  if (!isSearchable(state.parts)) {
    return (
      <Note icon="search" title="What are you looking for?">
        You've only said what to exclude. Add words or a picture.
      </Note>
    );
  }
  if (error instanceof MissingQueryImage) {
    return (
      <Note icon="link" title="This link needs a picture we don't have" actions={<ImagePickerButtons />}>
        {error.message}
      </Note>
    );
  }
  // QueryNotes shows what is wrong with the query, below the box.
  if (isOfTheQuery(error)) return null;
  if (error) {
    return (
      <Failure
        error={error}
        onRetry={() => void search.refetch()}
        actions={
          error instanceof Problem &&
          error.status < 500 && (
            <>
              {state.positive.length + state.negative.length > 0 && (
                <Button onClick={() => update(NO_MARKS)}>Search without the marks</Button>
              )}
              <ImagePickerButtons />
            </>
          )
        }
      />
    );
  }
  if (search.isPending) return <ResultPlaceholders />;
  if (best !== undefined) {
    return (
      <Note
        icon="filter"
        title={`No match of ${threshold.toFixed(2)} or more`}
        actions={<Button onClick={() => onThreshold(0)}>Show all</Button>}
      >
        The best match has {best.score.toFixed(2)}. Lower the minimum similarity to see it.
      </Note>
    );
  }
  if (state.autoThreshold && mode === "vector") {
    return (
      <Note
        icon="search"
        title="No strong matches"
        actions={<Button onClick={() => update({ autoThreshold: false })}>Show all</Button>}
      >
        The closest images are no better than chance.
      </Note>
    );
  }
  if (mode === "keywords") {
    return (
      <Note
        icon="text"
        title="No description or tag has these words"
        actions={
          availableModes(state, readsText).includes("vector") && (
            <Button icon="image" onClick={() => update({ mode: "vector" })}>
              Search by appearance instead
            </Button>
          )
        }
      >
        {state.rules.length > 0
          ? "At least none that matches the filter."
          : "Descriptions and tags are part of an image's metadata; you can add them in the library."}
      </Note>
    );
  }
  if (state.groupBy !== null) {
    return (
      <Note
        icon="filter"
        title={`No image has “${state.groupBy}”`}
        actions={<Button onClick={() => update({ groupBy: null, groupStep: null })}>Ungroup</Button>}
      />
    );
  }
  if (state.rules.length > 0) {
    return (
      <Note
        icon="filter"
        title="No matches"
        actions={<Button onClick={() => update({ rules: [] })}>Remove filter</Button>}
      >
        All conditions must be true; remove one to see more.
      </Note>
    );
  }
  return (
    <Note
      icon="library"
      title="Nothing to compare with"
      actions={
        <Link href={PATHS.library} className={buttonClass("primary")}>
          Add images
        </Link>
      }
    >
      The library has no other image. Add some, then search again.
    </Note>
  );
}
