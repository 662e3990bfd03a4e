import type { SearchAnswer } from "@/api/types";
import { milliseconds, plural } from "@/format";
import { Icon } from "@/ui/icons";

/** How many there are and, quietly, how long it took. */
export function Summary({
  answer,
  shown,
  fetching,
}: {
  answer: SearchAnswer | undefined;
  shown: number;
  fetching: boolean;
}) {
  return (
    <div className="mb-4 flex min-h-6 items-baseline justify-between gap-4">
      <h1 className="text-xl font-semibold tracking-tight" aria-live="polite">
        {answer ? (shown === 0 ? "No results" : plural(shown, "result")) : fetching ? "Looking…" : "Results"}
      </h1>
      {answer && (
        <p
          className="flex items-center gap-1.5 text-sm whitespace-nowrap text-muted tabular-nums"
          data-testid="timing"
        >
          <Icon name="clock" className="size-4" />
          {milliseconds(answer.search_time_ms)}
          {answer.cached && <span> · from cache</span>}
        </p>
      )}
    </div>
  );
}
