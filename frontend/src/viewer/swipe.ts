/** Where a finger was, in pixels. */
export interface Point {
  x: number;
  y: number;
}

/** Less is a tap of an unsteady finger. */
const LEAST = 48;

/** What a finger meant that went from one point to another: a swipe to the left brings the next image. */
export function swipeOf(from: Point, to: Point): "previous" | "next" | null {
  const right = to.x - from.x;
  // Steeper than that it scrolls.
  if (Math.abs(right) < LEAST || Math.abs(right) < 2 * Math.abs(to.y - from.y)) return null;
  return right > 0 ? "previous" : "next";
}
