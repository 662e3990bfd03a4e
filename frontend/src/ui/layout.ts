/** Where pictures of known shape go: pure geometry, in pixels. */

export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface Layout {
  boxes: Box[];
  height: number;
}

interface Shape {
  width: number;
  height: number;
}

/** Panoramas and towers are cropped to this, so that no picture is a line. */
const RATIOS = { low: 0.56, high: 2.1 };

export function ratioOf({ width, height }: Shape): number {
  const ratio = width > 0 && height > 0 ? width / height : 4 / 3;
  return Math.min(RATIOS.high, Math.max(RATIOS.low, ratio));
}

/** How many columns fit: two on a phone, about as many on a large screen as one can overlook. */
export function columnsFor(width: number): number {
  const wanted = width < 640 ? 165 : width < 1500 ? 220 : 280;
  return Math.max(2, Math.round(width / wanted));
}

/**
 * Columns of equal width; each picture goes to the shortest, so that the order stays about that of the ranks. `below` is
 * what each has below it, in pixels.
 */
export function masonry(shapes: (Shape & { below: number })[], width: number, gap: number): Layout {
  const columns = columnsFor(width);
  const columnWidth = (width - gap * (columns - 1)) / columns;
  const bottoms = new Array<number>(columns).fill(0);
  const boxes = shapes.map((shape) => {
    const top = Math.min(...bottoms);
    const column = bottoms.indexOf(top);
    const height = Math.round(columnWidth / ratioOf(shape)) + shape.below;
    bottoms[column] = top + height + gap;
    return { left: column * (columnWidth + gap), top, width: columnWidth, height };
  });
  return { boxes, height: Math.max(0, Math.max(0, ...bottoms) - gap) };
}

export interface Row {
  /** Index of the first picture. */
  start: number;
  height: number;
  widths: number[];
}

/** Full rows of about equal height, as in an album; the last one is not stretched. */
export function justify(shapes: Shape[], width: number, gap: number, wanted: number): Row[] {
  const rows: Row[] = [];
  let ratios: number[] = [];
  let start = 0;
  const push = (height: number) => {
    rows.push({ start, height, widths: ratios.map((ratio) => ratio * height) });
    start += ratios.length;
    ratios = [];
  };
  for (const shape of shapes) {
    ratios.push(ratioOf(shape));
    const sum = ratios.reduce((total, ratio) => total + ratio, 0);
    const height = (width - gap * (ratios.length - 1)) / sum;
    if (height <= wanted) push(height);
  }
  if (ratios.length > 0) push(wanted);
  return rows;
}

export type Direction = "left" | "right" | "up" | "down";

/** Which box a press on an arrow key leads to: the next one in the order, or the nearest above or below. */
export function neighbour(boxes: Box[], from: number, direction: Direction): number {
  const here = boxes[from];
  if (!here) return from;
  if (direction === "left") return Math.max(0, from - 1);
  if (direction === "right") return Math.min(boxes.length - 1, from + 1);
  let best = from;
  let shortest = Infinity;
  boxes.forEach((box, index) => {
    const ahead = direction === "down" ? box.top - here.top : here.top - box.top;
    if (index === from || ahead < 1) return;
    const aside = Math.abs(box.left + box.width / 2 - here.left - here.width / 2);
    // To be in line counts more than to be near.
    const distance = ahead + aside * 3;
    if (distance < shortest) [best, shortest] = [index, distance];
  });
  return best;
}
