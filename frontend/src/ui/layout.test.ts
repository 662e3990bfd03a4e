import { describe, expect, it } from "vitest";
import { columnsFor, justify, masonry, neighbour, ratioOf } from "@/ui/layout";

const shapes = Array.from({ length: 40 }, (_, i) => ({
  width: 100 + ((i * 37) % 200),
  height: 100 + ((i * 53) % 150),
  below: i % 3 === 0 ? 80 : 40,
}));

describe("masonry", () => {
  it("keeps every picture's proportions, inside the width, without overlaps", () => {
    const { boxes, height } = masonry(shapes, 1000, 20);
    boxes.forEach((box, i) => {
      expect(box.left + box.width).toBeLessThanOrEqual(1000.5);
      expect(box.top + box.height).toBeLessThanOrEqual(height);
      const shape = shapes[i] ?? { width: 1, height: 1, below: 0 };
      expect(box.width / (box.height - shape.below)).toBeCloseTo(ratioOf(shape), 1);
      for (const other of boxes.slice(i + 1)) {
        const apart =
          other.left >= box.left + box.width ||
          box.left >= other.left + other.width ||
          other.top >= box.top + box.height ||
          box.top >= other.top + other.height;
        expect(apart).toBe(true);
      }
    });
  });

  it("has two columns on the smallest phone and many on a large screen", () => {
    expect(columnsFor(328)).toBe(2);
    expect(columnsFor(2200)).toBeGreaterThanOrEqual(7);
  });

  it("is nothing without pictures", () => {
    expect(masonry([], 1000, 20)).toEqual({ boxes: [], height: 0 });
  });
});

describe("justified rows", () => {
  it("fill the width and hold every picture once", () => {
    const rows = justify(shapes, 1200, 10, 190);
    expect(rows.reduce((sum, row) => sum + row.widths.length, 0)).toBe(shapes.length);
    for (const row of rows.slice(0, -1)) {
      const width = row.widths.reduce((sum, one) => sum + one, 0) + 10 * (row.widths.length - 1);
      expect(width).toBeCloseTo(1200, 3);
      expect(row.height).toBeLessThanOrEqual(190);
    }
  });
});

describe("arrow keys", () => {
  const grid = [0, 1, 2, 3, 4, 5].map((i) => ({
    left: (i % 3) * 100,
    top: Math.floor(i / 3) * 100,
    width: 90,
    height: 90,
  }));

  it("go where the eye would", () => {
    expect(neighbour(grid, 1, "down")).toBe(4);
    expect(neighbour(grid, 4, "up")).toBe(1);
    expect(neighbour(grid, 1, "right")).toBe(2);
  });

  it("stop at the edges", () => {
    expect(neighbour(grid, 0, "left")).toBe(0);
    expect(neighbour(grid, 0, "up")).toBe(0);
    expect(neighbour(grid, 5, "right")).toBe(5);
    expect(neighbour(grid, 5, "down")).toBe(5);
  });
});
