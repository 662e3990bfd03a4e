import type { MouseEvent } from "react";
import type { Hit } from "@/api/types";
import { percent, plural, shortName } from "@/format";
import type { Mark } from "@/query/feedback-marks";
import type { ScoreScale } from "@/query/score-scale";
import type { Entry } from "@/search/result-sections";
import { ThumbButtons } from "@/query/thumb-buttons";
import { Icon } from "@/ui/icons";
import { Menu, type MenuItem } from "@/ui/menu";
import { Thumbnail } from "@/ui/picture";

/** Heights below the picture, in pixels: name and score, the two lines of a description, the buttons on a phone. */
const CAPTION = { score: 44, description: 36, buttons: 44 };

export function heightBelow(hit: Hit, coarsePointer: boolean): number {
  const description = descriptionOf(hit.metadata) === null ? 0 : CAPTION.description;
  return CAPTION.score + description + (coarsePointer ? CAPTION.buttons : 0);
}

export interface CardProps {
  entry: Entry;
  scale: ScoreScale;
  /** The score of a full bar. If that is not 1, the bar shows the confidence instead. */
  maxScore: number;
  href: string;
  /** One card is in the tab order, and so are its buttons. */
  tabIndex: number;
  mark: Mark | null;
  menu: MenuItem[];
  onMark: (mark: Mark | null) => void;
  onFocus: () => void;
  onOpen: (id: string) => void;
  /** Whether those that are nearly the same are shown behind it. */
  expanded: boolean;
  onExpand: () => void;
  itemRef: (element: HTMLAnchorElement | null) => void;
}

/** One result: the picture, its name, score and description, and its actions. */
export function ResultCard(props: CardProps) {
  const { entry, scale, maxScore, href, tabIndex, onFocus, onOpen, itemRef } = props;
  const { hit, rank } = entry;
  const description = descriptionOf(hit.metadata);
  const open = (event: MouseEvent) => {
    // Another tab or window is the browser's business.
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    onOpen(hit.image_id);
  };
  return (
    <div className="group flex h-full flex-col">
      <a
        ref={itemRef}
        href={href}
        tabIndex={tabIndex}
        onFocus={onFocus}
        onClick={open}
        aria-keyshortcuts="+ -"
        className="flex min-h-0 flex-1 flex-col rounded-2xl outline-offset-4"
      >
        <span
          className={`relative block flex-1 overflow-hidden rounded-2xl shadow-card ring-1 ring-black/5 transition-transform duration-300 group-hover:-translate-y-1 dark:ring-white/8 ${rank === null ? "opacity-80 saturate-75 group-hover:opacity-100 group-hover:saturate-100" : ""}`}
        >
          <Thumbnail image={hit} eager={rank !== null && rank <= 8} />
          {rank !== null && (
            <span className="absolute top-2 left-2 rounded-full bg-black/65 px-2 py-0.5 text-xs font-medium text-white tabular-nums">
              <span className="sr-only">Rank </span>
              {rank}
            </span>
          )}
        </span>
        <span
          className="flex flex-col justify-center gap-1.5 px-1 pt-1.5 text-xs"
          style={{ height: CAPTION.score }}
        >
          <span className="flex items-baseline justify-between gap-2">
            <span className="truncate text-muted group-hover:text-ink" title={hit.image_id}>
              {shortName(hit.image_id)}
            </span>
            {rank !== null && (
              <span className="font-semibold tabular-nums" title={scale.title}>
                <span className="sr-only">, {scale.spoken} </span>
                {scale.write(hit.score)}
              </span>
            )}
          </span>
          {rank === null ? (
            <span className="text-muted">near-duplicate</span>
          ) : (
            <span className="flex items-center gap-2">
              <ScoreBar value={maxScore === 1 ? hit.score : (hit.confidence ?? hit.score / maxScore)} />
              {hit.confidence !== null && (
                <span className="text-muted tabular-nums" title="How likely this is what you're looking for">
                  <span className="sr-only">, </span>
                  {percent(hit.confidence)} match
                </span>
              )}
            </span>
          )}
        </span>
        {description !== null && (
          <span
            className="line-clamp-2 px-1 text-xs leading-4 text-pretty text-muted"
            style={{ maxHeight: CAPTION.description - 4, marginBottom: 4 }}
            title={description}
          >
            {description}
          </span>
        )}
      </a>
      <DuplicatesBadge {...props} />
      <Actions {...props} aboveDescription={description !== null} />
    </div>
  );
}

/** How many images are nearly the same as this one; shows them behind it. */
function DuplicatesBadge({ entry: { hit, rank }, tabIndex, onFocus, expanded, onExpand }: CardProps) {
  const count = hit.duplicates.length;
  if (rank === null || count === 0) return null;
  return (
    <button
      type="button"
      aria-expanded={expanded}
      tabIndex={tabIndex}
      onFocus={onFocus}
      onClick={onExpand}
      className="group/alike absolute top-0 right-0 flex items-center p-2 pointer-coarse:min-h-11 focus-visible:outline-none"
    >
      <span className="flex items-center gap-1.5 rounded-full bg-black/65 px-2 py-0.5 text-xs font-medium text-white tabular-nums transition-colors group-hover/alike:bg-black/85 group-focus-visible/alike:outline-2 group-focus-visible/alike:outline-white">
        <Icon name="copies" className="size-3.5" />
        {expanded ? "hide copies" : plural(count, "similar copy", "similar copies")}
        <span className="sr-only"> of {shortName(hit.image_id)}</span>
      </span>
    </button>
  );
}

/** Over the picture's corner for a mouse, below it for a finger. */
function Actions({
  entry: { hit },
  tabIndex,
  mark,
  menu,
  onMark,
  onFocus,
  aboveDescription,
}: CardProps & { aboveDescription: boolean }) {
  const name = shortName(hit.image_id);
  return (
    <div
      className={`flex items-center pointer-coarse:h-11 pointer-coarse:justify-between pointer-fine:absolute pointer-fine:right-2 pointer-fine:gap-0.5 pointer-fine:rounded-full pointer-fine:bg-black/65 pointer-fine:p-0.5 pointer-fine:transition-opacity pointer-fine:group-hover:opacity-100 pointer-fine:focus-within:opacity-100 ${
        aboveDescription ? "pointer-fine:bottom-[5.5rem]" : "pointer-fine:bottom-[3.25rem]"
      } ${mark === null ? "pointer-fine:opacity-0" : ""}`}
    >
      <ThumbButtons
        name={name}
        mark={mark}
        onMark={onMark}
        tabIndex={tabIndex}
        onFocus={onFocus}
        buttonClass={(pressed) => `${BUTTON} ${pressed ? "bg-accent text-on-accent" : PLAIN}`}
      />
      <Menu label={`Actions for ${name}`} items={menu} tabIndex={tabIndex} className={`${BUTTON} ${PLAIN}`} />
    </div>
  );
}

const BUTTON =
  "inline-flex size-8 items-center justify-center rounded-full transition-colors pointer-coarse:size-11";
const PLAIN =
  "pointer-fine:text-white pointer-fine:hover:bg-white/20 pointer-coarse:text-muted focus-visible:outline-white pointer-coarse:focus-visible:outline-accent";

function ScoreBar({ value }: { value: number }) {
  return (
    <span className="block h-1 flex-1 overflow-hidden rounded-full bg-line">
      <span
        className="block h-full rounded-full bg-gradient-to-r from-accent to-warm"
        style={{ width: `${Math.max(2, Math.min(1, Math.max(0, value)) * 100)}%` }}
      />
    </span>
  );
}

/** The description in an image's metadata; null if there is none. */
export function descriptionOf(metadata: Record<string, unknown> | null | undefined): string | null {
  const description = metadata?.["description"];
  return typeof description === "string" && description.trim() !== "" ? description : null;
}
