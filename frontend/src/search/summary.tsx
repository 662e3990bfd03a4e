import type { ReactNode } from "react";
import type { SearchAnswer } from "@/api/types";
import { milliseconds, plural } from "@/format";
import type { ScoreScale } from "@/query/score-scale";
import { useToast } from "@/ui/toasts";
import { IconButton } from "@/ui/button";
import { Icon } from "@/ui/icons";

interface Props {
  answer: SearchAnswer | undefined;
  /** What the scores are. */
  scale: ScoreScale;
  shown: number;
  /** The number of groups; null if the results are not grouped. */
  groups: number | null;
  fetching: boolean;
  /** Whether the results shown are those of the search before. */
  stale: boolean;
  /** What keeps the server from answering. */
  note: string | null;
  /** Whether the link to this search works for others. */
  shareable: boolean;
  children?: ReactNode;
}

/** How many there are and, quietly, how long it took. */
export function Summary({ answer, scale, shown, groups, fetching, stale, note, shareable, children }: Props) {
  const inGroups = groups === null || shown === 0 ? "" : ` in ${plural(groups, "group")}`;
  const figure = shown === 0 ? "No results" : plural(shown, "result") + inGroups;
  return (
    <>
      <div className="relative mb-3 flex min-h-10 flex-wrap items-center justify-between gap-x-2 gap-y-1 sm:gap-x-4 xl:flex-nowrap">
        <h1 className="text-xl font-semibold tracking-tight whitespace-nowrap" aria-live="polite">
          {stale ? "Updating…" : answer ? figure : fetching ? "Searching…" : "Results"}
        </h1>
        {children}
        <div className="flex items-center gap-1">
          {answer && (
            <p
              className="flex items-center gap-1.5 text-xs whitespace-nowrap text-muted tabular-nums sm:text-sm"
              data-testid="timing"
            >
              <span title={scale.title}>{scale.name}</span>
              <Icon name="clock" className="ml-2 size-4 max-sm:hidden" />
              <span className="sm:hidden">·</span>
              {milliseconds(answer.search_time_ms)}
              {answer.cached && <span className="max-sm:hidden"> · from cache</span>}
            </p>
          )}
          <CopyLink shareable={shareable} />
        </div>
        {stale && (
          <div
            className="absolute inset-x-0 -bottom-2 h-0.5 overflow-hidden rounded-full bg-line"
            aria-hidden
          >
            <div className="h-full w-2/5 animate-pass rounded-full bg-accent" />
          </div>
        )}
      </div>
      <p role="status" className="empty:hidden mb-3 rounded-xl bg-warn-soft px-4 py-2 text-sm text-warn">
        {note}
      </p>
    </>
  );
}

function CopyLink({ shareable }: { shareable: boolean }) {
  const toast = useToast();
  const copy = () => {
    void navigator.clipboard.writeText(location.href).then(
      () =>
        toast({
          text: shareable
            ? "Link copied"
            : "Copied. The link works only in this browser until you add the image to the library",
        }),
      () =>
        toast({
          text: "Your browser blocked copying; the link is in the address bar",
          icon: "warning",
        }),
    );
  };
  return <IconButton icon="link" label="Copy link" onClick={copy} />;
}
