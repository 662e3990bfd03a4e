import { type FocusEvent, type KeyboardEvent, useEffect, useId, useMemo, useRef, useState } from "react";
import { useLocation } from "wouter";
import { useViewed, withView } from "@/query/use-search-state";
import { ResultCard, heightBelow } from "@/search/result-card";
import { MARK_KEYS, type Marking, nextMark } from "@/query/feedback-marks";
import type { ScoreScale } from "@/query/score-scale";
import type { Entry, Section } from "@/search/result-sections";
import { useCoarsePointer, useWidth } from "@/ui/hooks";
import { type Box, columnsFor, type Direction, masonry, neighbour } from "@/ui/layout";
import type { MenuItem } from "@/ui/menu";

const HEADING = 44;
const SECTION_GAP = 28;
const ARROWS: Record<string, Direction> = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
};

interface Props {
  sections: Section[];
  /** What the scores are. */
  scale: ScoreScale;
  /** Whether 1 is the best score there can be; else the best there is measures the others. */
  bounded: boolean;
  marking: Marking;
  menuOf: (id: string) => MenuItem[];
  onOpen: (id: string) => void;
  /** Hits behind which those that are nearly the same are shown. */
  expanded: ReadonlySet<string>;
  onExpand: (id: string) => void;
}

/**
 * The ranked results. One of them is in the tab order, with its buttons; arrow keys go from one to the next as the eye
 * would, Enter opens, + and - mark more and less like this.
 */
export function Results({
  sections,
  scale,
  bounded,
  marking: { markOf, onMark },
  menuOf,
  onOpen,
  expanded,
  onExpand,
}: Props) {
  const [measure, width] = useWidth();
  const [active, setActive] = useState(0);
  const items = useRef(new Map<number, HTMLAnchorElement>());
  const hrefOf = useHrefs();
  const titleId = useId();
  const coarse = useCoarsePointer();
  const { placed, boxes, height } = useMemo(
    () => arrange(sections, width, coarse),
    [sections, width, coarse],
  );
  const entries = useMemo(() => sections.flatMap((section) => section.entries), [sections]);
  const maxScore = bounded ? 1 : Math.max(Number.EPSILON, ...entries.map(({ hit }) => hit.score));
  const current = Math.min(active, Math.max(0, entries.length - 1));
  const watchFocus = useRestoreFocus(entries, () => items.current.get(current)?.focus());

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const here = entries[current];
    const mark = MARK_KEYS[event.key];
    if (mark && here) {
      event.preventDefault();
      onMark(here.hit.image_id, nextMark(markOf(here.hit.image_id), mark));
      return;
    }
    const direction = ARROWS[event.key];
    const target =
      event.key === "Home"
        ? 0
        : event.key === "End"
          ? entries.length - 1
          : direction && neighbour(boxes, current, direction);
    if (target === undefined) return;
    event.preventDefault();
    setActive(target);
    items.current.get(target)?.focus();
  };

  return (
    <div ref={measure}>
      {width > 0 && (
        // The keys are those of the links inside; what holds them takes no focus.
        // eslint-disable-next-line jsx-a11y/no-static-element-interactions
        <div className="relative" style={{ height }} onKeyDown={onKeyDown} {...watchFocus}>
          {placed.map(({ section, top, first }, at) => (
            <div key={section.title ?? ""} className="contents">
              {section.title !== null && (
                <h2
                  id={`${titleId}-${at}`}
                  className="absolute inset-x-0 flex h-9 items-center gap-3 font-semibold transition-[top] duration-500"
                  style={{ top }}
                >
                  <span className="truncate">{section.title}</span>
                  <span className="text-sm font-normal text-muted tabular-nums">
                    {section.entries.length}
                  </span>
                  <span className="h-px flex-1 bg-line" />
                </h2>
              )}
              <ol
                role="list"
                {...(section.title === null
                  ? { "aria-label": "Images, best first" }
                  : { "aria-labelledby": `${titleId}-${at}` })}
              >
                {section.entries.map((entry, offset) => {
                  const index = first + offset;
                  const { image_id: id } = entry.hit;
                  return (
                    <li
                      key={id}
                      className="absolute animate-rise transition-[left,top] duration-500 ease-out"
                      style={{
                        ...place(boxes[index]),
                        animationDelay: `${Math.min(index * 18, 360)}ms`,
                      }}
                    >
                      <ResultCard
                        entry={entry}
                        scale={scale}
                        maxScore={maxScore}
                        href={hrefOf(id)}
                        tabIndex={index === current ? 0 : -1}
                        mark={markOf(id)}
                        menu={menuOf(id)}
                        onMark={(mark) => onMark(id, mark)}
                        onFocus={() => setActive(index)}
                        onOpen={onOpen}
                        expanded={expanded.has(id)}
                        onExpand={() => onExpand(id)}
                        itemRef={(element) => {
                          if (element) items.current.set(index, element);
                          else items.current.delete(index);
                        }}
                      />
                    </li>
                  );
                })}
              </ol>
            </div>
          ))}
        </div>
      )}
    </div>
  );
}

/** Grey boxes in the place of results that are loading. */
export function ResultPlaceholders() {
  const [measure, width] = useWidth();
  const shapes = Array.from({ length: 3 * columnsFor(width) }, (_, i) => ({
    width: 4 + (i % 3),
    height: 5 - (i % 2),
    below: 44,
  }));
  const { boxes, height } = masonry(shapes, Math.max(width, 1), gapFor(width));
  return (
    <div ref={measure}>
      {width > 0 && (
        <div className="relative animate-shimmer" style={{ height }} aria-hidden>
          {boxes.map((box, index) => (
            <div
              key={index}
              className="absolute rounded-2xl bg-sunken"
              style={{ ...place(box), height: box.height - 44 }}
            />
          ))}
        </div>
      )}
    </div>
  );
}

interface Placed {
  section: Section;
  top: number;
  /** Index of its first entry among all. */
  first: number;
}

/** Puts the sections one below the other. */
function arrange(sections: Section[], width: number, coarse: boolean) {
  const placed: Placed[] = [];
  const boxes: Box[] = [];
  let top = 0;
  for (const section of sections) {
    if (placed.length > 0) top += SECTION_GAP;
    placed.push({ section, top, first: boxes.length });
    if (section.title !== null) top += HEADING;
    const shapes = section.entries.map(({ hit }) => ({
      width: hit.width,
      height: hit.height,
      below: heightBelow(hit, coarse),
    }));
    const layout = masonry(shapes, Math.max(width, 1), gapFor(width));
    for (const box of layout.boxes) boxes.push({ ...box, top: box.top + top });
    top += layout.height;
  }
  return { placed, boxes, height: top };
}

/**
 * A result that the keyboard is on may leave when it is marked, here or in the viewer, which closes later; then the one
 * in its place has the focus.
 */
function useRestoreFocus(entries: Entry[], restore: () => void) {
  const inside = useRef(false);
  const { viewed } = useViewed();
  useEffect(() => {
    if (inside.current && document.activeElement === document.body) restore();
    // Only when the results have changed, or the viewer has closed.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [entries, viewed]);
  return {
    onFocus: () => {
      inside.current = true;
    },
    onBlur: ({ target }: FocusEvent) => {
      // An element that is removed loses the focus too, but then the person has not left the results.
      setTimeout(() => {
        if (target.isConnected && document.activeElement === document.body) inside.current = false;
      });
    },
  };
}

/** Addresses of images as seen from this page, so that a card can be opened in another tab. */
function useHrefs() {
  const [path] = useLocation();
  return (id: string) => withView(path, location.search, id);
}

const gapFor = (width: number) => (width < 640 ? 12 : 20);

const place = (box: Box | undefined) =>
  box && { left: box.left, top: box.top, width: box.width, height: box.height };
