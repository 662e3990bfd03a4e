import { type KeyboardEvent, type MouseEvent, useMemo, useRef, useState } from "react";
import { useLocation } from "wouter";
import type { Hit } from "@/api/types";
import { score, shortName } from "@/format";
import { useWidth } from "@/ui/hooks";
import { type Box, columnsFor, type Direction, masonry, neighbour } from "@/ui/layout";
import { Thumbnail } from "@/ui/picture";

const CAPTION = 44;
const ARROWS: Record<string, Direction> = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
};

/**
 * The ranked results. One of them is in the tab order; arrow keys go from one to the next as the eye would, Enter opens.
 * Without hits (undefined) it shows where they will be.
 */
export function Results({ hits, onOpen }: { hits: Hit[] | undefined; onOpen: (id: string) => void }) {
  const [measure, width] = useWidth();
  const [active, setActive] = useState(0);
  const items = useRef(new Map<number, HTMLAnchorElement>());
  const [, , hrefs] = useHrefs();
  const gap = width < 640 ? 12 : 20;

  const layout = useMemo(() => {
    const shapes =
      hits ??
      Array.from({ length: 3 * columnsFor(width) }, (_, i) => ({ width: 4 + (i % 3), height: 5 - (i % 2) }));
    return masonry(shapes, Math.max(width, 1), gap, CAPTION);
  }, [hits, width, gap]);

  const current = Math.min(active, Math.max(0, (hits?.length ?? 1) - 1));

  const onKeyDown = (event: KeyboardEvent) => {
    if (!hits || event.altKey || event.ctrlKey || event.metaKey) return;
    const direction = ARROWS[event.key];
    const target =
      event.key === "Home"
        ? 0
        : event.key === "End"
          ? hits.length - 1
          : direction && neighbour(layout.boxes, current, direction);
    if (target === undefined) return;
    event.preventDefault();
    setActive(target);
    items.current.get(target)?.focus();
  };

  return (
    <div ref={measure}>
      {width > 0 && !hits && (
        <div className="relative animate-shimmer" style={{ height: layout.height }} aria-hidden>
          {layout.boxes.map((box, index) => (
            <div
              key={index}
              className="absolute rounded-2xl bg-sunken"
              style={{ ...place(box), height: box.height - CAPTION }}
            />
          ))}
        </div>
      )}
      {width > 0 && hits && (
        // The keys are those of the links inside; the list itself takes no focus.
        // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions
        <ol
          role="list"
          className="relative"
          style={{ height: layout.height }}
          onKeyDown={onKeyDown}
          aria-label="Images, best first"
        >
          {hits.map((hit, index) => {
            const box = layout.boxes[index];
            return (
              box && (
                <li
                  key={hit.image_id}
                  className="absolute animate-rise"
                  style={{ ...place(box), animationDelay: `${Math.min(index * 18, 360)}ms` }}
                >
                  <Card
                    hit={hit}
                    rank={index + 1}
                    href={hrefs(hit.image_id)}
                    tabIndex={index === current ? 0 : -1}
                    onFocus={() => setActive(index)}
                    onOpen={onOpen}
                    hold={(element) => {
                      if (element) items.current.set(index, element);
                      else items.current.delete(index);
                    }}
                  />
                </li>
              )
            );
          })}
        </ol>
      )}
    </div>
  );
}

/** Addresses of images as seen from this page, so that a card can be opened in another tab. */
function useHrefs() {
  const [path, navigate] = useLocation();
  const hrefs = (id: string) => {
    const params = new URLSearchParams(location.search);
    params.set("view", id);
    return `${path}?${params.toString()}`;
  };
  return [path, navigate, hrefs] as const;
}

interface CardProps {
  hit: Hit;
  rank: number;
  href: string;
  tabIndex: number;
  onFocus: () => void;
  onOpen: (id: string) => void;
  hold: (element: HTMLAnchorElement | null) => void;
}

function Card({ hit, rank, href, tabIndex, onFocus, onOpen, hold }: CardProps) {
  const name = shortName(hit.image_id);
  const open = (event: MouseEvent) => {
    // Another tab or window is the browser's business.
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    onOpen(hit.image_id);
  };
  return (
    <a
      ref={hold}
      href={href}
      tabIndex={tabIndex}
      onFocus={onFocus}
      onClick={open}
      className="group flex h-full flex-col rounded-2xl outline-offset-4"
    >
      <span className="relative block flex-1 overflow-hidden rounded-2xl shadow-card ring-1 ring-black/5 transition-transform duration-300 group-hover:-translate-y-1 dark:ring-white/8">
        <Thumbnail image={hit} eager={rank <= 8} />
        <span className="absolute top-2 left-2 rounded-full bg-black/65 px-2 py-0.5 text-xs font-medium text-white tabular-nums">
          <span className="sr-only">Rank </span>
          {rank}
        </span>
      </span>
      <span className="flex h-11 flex-col justify-center gap-1.5 px-1 pt-1.5 text-xs">
        <span className="flex items-baseline justify-between gap-2">
          <span className="truncate text-muted group-hover:text-ink" title={hit.image_id}>
            {name}
          </span>
          <span className="font-semibold tabular-nums">
            <span className="sr-only">, score </span>
            {score(hit.score)}
          </span>
        </span>
        <ScoreBar value={hit.score} />
      </span>
    </a>
  );
}

export function ScoreBar({ value }: { value: number }) {
  return (
    <span className="block h-1 overflow-hidden rounded-full bg-line">
      <span
        className="block h-full rounded-full bg-gradient-to-r from-accent to-warm"
        style={{ width: `${Math.max(2, Math.min(1, Math.max(0, value)) * 100)}%` }}
      />
    </span>
  );
}

const place = (box: Box) => ({ left: box.left, top: box.top, width: box.width, height: box.height });
