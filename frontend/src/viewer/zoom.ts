import type { Point } from "@/viewer/swipe";

/** The position of a picture in its box: its scale, and the distance in pixels of its centre from that of the box. */
export interface Zoom extends Point {
  scale: number;
}

export const WHOLE: Zoom = { scale: 1, x: 0, y: 0 };

const MOST = 6;
/** What a double tap makes of a whole picture. */
const NEAR = 2.5;
/** Less is a pinch that meant to show all of it. */
const LEAST = 1.1;

interface Size {
  width: number;
  height: number;
}

/**
 * A picture after one or two fingers went from some points to others, in pixels from the centre of its box: what was
 * below them stays below them, as long as the box stays full.
 */
export function dragged(before: Zoom, from: Point[], to: Point[], box: Size): Zoom {
  const factor = from.length === 2 ? spread(to) / Math.max(1, spread(from)) : 1;
  const scale = Math.min(MOST, Math.max(1, before.scale * factor));
  const grown = scale / before.scale;
  const old = middle(from);
  const here = middle(to);
  return within(
    { scale, x: here.x - grown * (old.x - before.x), y: here.y - grown * (old.y - before.y) },
    box,
  );
}

/** A picture after a double tap: near at that point, or whole again. */
export function tapped(before: Zoom, at: Point, box: Size): Zoom {
  if (before.scale > 1) return WHOLE;
  return within({ scale: NEAR, x: at.x * (1 - NEAR), y: at.y * (1 - NEAR) }, box);
}

/** A picture when the fingers have left it. */
export const rested = (zoom: Zoom): Zoom => (zoom.scale < LEAST ? WHOLE : zoom);

function within({ scale, x, y }: Zoom, { width, height }: Size): Zoom {
  return { scale, x: clamped(x, ((scale - 1) * width) / 2), y: clamped(y, ((scale - 1) * height) / 2) };
}

// Plus 0, because -0 is another number to some.
const clamped = (value: number, most: number) => Math.min(most, Math.max(-most, value)) + 0;

const middle = (points: Point[]): Point => ({
  x: points.reduce((sum, { x }) => sum + x, 0) / points.length,
  y: points.reduce((sum, { y }) => sum + y, 0) / points.length,
});

const spread = ([a, b]: Point[]): number => (a && b ? Math.hypot(a.x - b.x, a.y - b.y) : 0);
