import { Problem } from "@/api/problem";
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
import { Button } from "@/ui/button";
import { Failure, Note } from "@/ui/notes";

interface Props {
  state: SearchState;
  search: ReturnType<typeof useSearch>;
  mode: Mode;
  threshold: number;
  onThreshold: (threshold: number) => void;
  update: (change: Partial<SearchState>) => void;
}

/** What stands where the results would be: why there are none, and what to do. */
export function NoResults({ state, search, mode, threshold, onThreshold, update }: Props) {
  const { error } = search;
  const readsText = useReadsText() ?? true;
  const best = search.data?.results[0];
  if (!isSearchable(state.parts)) {
    return (
      <Note icon="search" title="What is to be found?">
        So far the query only says what the images should not be like. Add words or a picture.
      </Note>
    );
  }
  if (error instanceof MissingQueryImage) {
    return (
      <Note icon="link" title="The image of this link is elsewhere" actions={<ImagePickerButtons />}>
        {error.message}
      </Note>
    );
  }
  // What is wrong with the query is said below the box.
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
        title={`Nothing scores ${threshold.toFixed(2)} or more`}
        actions={<Button onClick={() => onThreshold(0)}>Show all</Button>}
      >
        The best has {best.score.toFixed(2)}. Lower the least score to see it.
      </Note>
    );
  }
  if (state.autoThreshold && mode === "vector") {
    return (
      <Note
        icon="search"
        title="Nothing stands out"
        actions={<Button onClick={() => update({ autoThreshold: false })}>Show all</Button>}
      >
        No image is more like this than any other images are by chance.
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
              Look at the pictures instead
            </Button>
          )
        }
      >
        {state.rules.length > 0
          ? "None that passes the filter, at least."
          : "Descriptions and tags are part of an image’s metadata; they can be added in the library."}
      </Note>
    );
  }
  if (state.groupBy !== null) {
    return (
      <Note
        icon="filter"
        title={`No image has “${state.groupBy}”`}
        actions={<Button onClick={() => update({ groupBy: null, groupStep: null })}>Do not group</Button>}
      >
        Grouping leaves out images without the field.
      </Note>
    );
  }
  if (state.rules.length > 0) {
    return (
      <Note
        icon="filter"
        title="No image passes the filter"
        actions={<Button onClick={() => update({ rules: [] })}>Remove the filter</Button>}
      >
        Every condition must hold. Take one away to see more.
      </Note>
    );
  }
  return (
    <Note icon="library" title="There is nothing to compare with">
      The collection has no other image. Add some in the library, then search again.
    </Note>
  );
}
