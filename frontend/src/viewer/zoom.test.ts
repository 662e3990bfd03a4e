import { describe, expect, it } from "vitest";
import { dragged, rested, tapped, WHOLE, type Zoom } from "@/viewer/zoom";

const box = { width: 400, height: 300 };
const point = (x: number, y: number) => ({ x, y });

describe("a picture under two fingers", () => {
  it("grows as they part, and what was between them stays there", () => {
    const zoom = dragged(WHOLE, [point(0, 0), point(100, 0)], [point(-50, 0), point(150, 0)], box);
    expect(zoom).toEqual({ scale: 2, x: -50, y: 0 });
    // What lay 50 pixels right of the centre still does.
    expect(zoom.scale * 50 + zoom.x).toBe(50);
  });

  it("never shows what is beside it, is never smaller than its box, nor larger than is of use", () => {
    const parted = [point(-1000, 0), point(1000, 0)];
    const huge = dragged(WHOLE, [point(-10, 0), point(10, 0)], parted, box);
    expect(huge.scale).toBe(6);
    expect(dragged(huge, parted, [point(-1, 0), point(1, 0)], box)).toEqual(WHOLE);
    expect(dragged(huge, [point(0, 0), point(0, 0)], parted, box).scale).toBe(6);
  });
});

it("moves under one finger once it is larger, up to its edges", () => {
  const near: Zoom = { scale: 2, x: 0, y: 0 };
  expect(dragged(near, [point(0, 0)], [point(30, -20)], box)).toEqual({ scale: 2, x: 30, y: -20 });
  expect(dragged(near, [point(0, 0)], [point(900, -900)], box)).toEqual({ scale: 2, x: 200, y: -150 });
  expect(dragged(WHOLE, [point(0, 0)], [point(30, -20)], box)).toEqual(WHOLE);
});

it("comes near by a double tap where that was, and is whole again by another", () => {
  const near = tapped(WHOLE, point(100, 20), box);
  expect(near.scale * 100 + near.x).not.toBe(0);
  expect(near).toEqual({ scale: 2.5, x: -150, y: -30 });
  expect(tapped(near, point(0, 0), box)).toEqual(WHOLE);
});

it("is whole again when it was nearly so", () => {
  expect(rested({ scale: 1.05, x: 4, y: 3 })).toEqual(WHOLE);
  expect(rested({ scale: 1.5, x: 4, y: 3 })).toEqual({ scale: 1.5, x: 4, y: 3 });
});
