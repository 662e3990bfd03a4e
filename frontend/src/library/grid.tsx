import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type MouseEvent, useEffect, useMemo, useRef, useState } from "react";
import type { ImageDocument } from "@/api/types";
import { shortName } from "@/format";
import { useWidth } from "@/ui/hooks";
import { justify } from "@/ui/layout";
import { Thumbnail } from "@/ui/picture";
import { libraryImagePath } from "@/paths";

interface Props {
  images: ImageDocument[];
  pending: boolean;
  total: number;
  onEnd: () => void;
  onOpen: (id: string) => void;
}

/**
 * The whole collection in rows, of which only those in sight are on the page, so that a hundred thousand images scroll
 * like fifty. One image is in the tab order; arrow keys lead to the others.
 */
export function LibraryGrid({ images, pending, total, onEnd, onOpen }: Props) {
  const [measure, width] = useWidth();
  const container = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState(0);
  const toFocus = useRef<number | null>(null);
  // "End" means the end of the collection, of which more may still be coming.
  const toEnd = useRef(false);
  const gap = width < 640 ? 6 : 10;
  const wanted = width < 640 ? 120 : width < 1500 ? 190 : 240;
  const rows = useMemo(
    () => (width > 0 ? justify(images, width, gap, wanted) : []),
    [images, width, gap, wanted],
  );

  const virtualizer = useWindowVirtualizer({
    count: rows.length,
    estimateSize: (index) => (rows[index]?.height ?? wanted) + gap,
    overscan: 4,
    scrollMargin: container.current?.offsetTop ?? 0,
  });
  // Other rows have other heights, which the virtualizer remembers of the ones before.
  useEffect(() => virtualizer.measure(), [rows, virtualizer]);

  const visible = virtualizer.getVirtualItems();
  const last = visible.at(-1)?.index ?? 0;
  useEffect(() => {
    if (rows.length > 0 && last >= rows.length - 8) onEnd();
  }, [last, rows.length, onEnd]);

  const current = Math.min(active, Math.max(0, images.length - 1));
  useEffect(() => {
    if (toFocus.current === null) return;
    const element = document.getElementById(cellId(toFocus.current));
    if (element) {
      element.focus({ preventScroll: true });
      toFocus.current = null;
    }
  });

  const goTo = (target: number) => {
    setActive(target);
    toFocus.current = target;
    virtualizer.scrollToIndex(rowOf(rows, target), { align: "auto" });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    toEnd.current = event.key === "End";
    const target = step(event.key, current, images.length, rows);
    if (target === null) return;
    event.preventDefault();
    goTo(target);
  };
  useEffect(() => {
    if (toEnd.current && rows.length > 0) goTo(images.length - 1);
    // Only when more have come, until the person does something else.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [rows]);
  const stay = () => {
    toEnd.current = false;
  };

  return (
    <div ref={measure}>
      <div ref={container}>
        {pending && (
          <div className="grid animate-shimmer grid-cols-3 gap-2.5 sm:grid-cols-5 xl:grid-cols-7" aria-hidden>
            {Array.from({ length: 21 }, (_, index) => (
              <div key={index} className="aspect-[4/3] rounded-xl bg-sunken" />
            ))}
          </div>
        )}
        {/* The keys are those of the links inside; the list itself takes no focus. */}
        {images.length > 0 && (
          // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions
          <ul
            role="list"
            aria-label="Images, newest first"
            className="relative"
            style={{ height: virtualizer.getTotalSize() }}
            onKeyDown={onKeyDown}
            onPointerDown={stay}
            onWheel={stay}
          >
            {visible.flatMap(({ index, start }) => {
              const row = rows[index];
              if (!row) return [];
              let left = 0;
              return row.widths.map((cellWidth, offset) => {
                const at = row.start + offset;
                const image = images[at];
                const place = {
                  left,
                  top: start - virtualizer.options.scrollMargin,
                  width: cellWidth,
                  height: row.height,
                };
                left += cellWidth + gap;
                return (
                  image && (
                    <li
                      key={image.image_id}
                      className="absolute"
                      style={place}
                      aria-setsize={total}
                      aria-posinset={at + 1}
                    >
                      <Cell
                        id={cellId(at)}
                        image={image}
                        tabIndex={at === current ? 0 : -1}
                        onFocus={() => setActive(at)}
                        onOpen={onOpen}
                      />
                    </li>
                  )
                );
              });
            })}
          </ul>
        )}
      </div>
    </div>
  );
}

const cellId = (index: number) => `library-${index}`;

interface CellProps {
  id: string;
  image: ImageDocument;
  tabIndex: number;
  onFocus: () => void;
  onOpen: (id: string) => void;
}

function Cell({ id, image, tabIndex, onFocus, onOpen }: CellProps) {
  const open = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    onOpen(image.image_id);
  };
  return (
    <a
      id={id}
      href={libraryImagePath(image.image_id)}
      tabIndex={tabIndex}
      onFocus={onFocus}
      onClick={open}
      aria-label={image.image_id}
      className="group absolute inset-0 overflow-hidden rounded-xl"
    >
      <Thumbnail image={image} />
      <span
        aria-hidden
        className="absolute inset-x-0 bottom-0 truncate bg-gradient-to-t from-black/75 to-transparent px-3 pt-8 pb-2 text-xs text-white opacity-0 transition-opacity group-hover:opacity-100 group-focus-visible:opacity-100"
      >
        {shortName(image.image_id)}
      </span>
    </a>
  );
}

function rowOf(rows: { start: number }[], index: number): number {
  let low = 0;
  let high = rows.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((rows[middle]?.start ?? 0) <= index) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The index that a key moves to; null if the key does not move. */
export function step(
  key: string,
  from: number,
  count: number,
  rows: { start: number; widths: number[] }[],
): number | null {
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  if (key === "ArrowLeft") return Math.max(0, from - 1);
  if (key === "ArrowRight") return Math.min(count - 1, from + 1);
  if (key !== "ArrowUp" && key !== "ArrowDown") return null;
  const row = rowOf(rows, from);
  const here = rows[row];
  const there = rows[row + (key === "ArrowDown" ? 1 : -1)];
  if (!here || !there) return from;
  // As far along its row as before, by share of the row.
  const share = (from - here.start + 0.5) / here.widths.length;
  return there.start + Math.min(there.widths.length - 1, Math.floor(share * there.widths.length));
}
