import { expect, it } from "vitest";
import { swipeOf } from "@/viewer/swipe";

it.each([
  [-120, 20, "next"],
  [120, -20, "previous"],
  [-30, 0, null],
  [-120, 90, null],
  [0, 300, null],
] as const)("a finger that goes %i to the right and %i down means %s", (x, y, meant) => {
  expect(swipeOf({ x: 200, y: 200 }, { x: 200 + x, y: 200 + y })).toBe(meant);
});
