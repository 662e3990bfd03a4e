import { describe, expect, it } from "vitest";
import { add, rates, type Sample, SAMPLES } from "@/status/history";
import { linePath } from "@/status/sparkline";

const sample = (at: number, lookups: number): Sample => ({
  at,
  lookups,
  images: 0,
  queue: 0,
  waiting: 0,
  hits: 0,
});

describe("the history", () => {
  it("keeps the latest samples", () => {
    let history: Sample[] = [];
    for (let at = 0; at < 500; at++) history = add(history, sample(at, at));
    expect(history).toHaveLength(SAMPLES);
    expect(history.at(-1)?.at).toBe(499);
  });

  it("begins anew when the server did", () => {
    expect(add([sample(0, 50), sample(1, 60)], sample(2, 0))).toHaveLength(1);
  });

  it("tells growth a second", () => {
    expect(rates([sample(0, 0), sample(2000, 10), sample(3000, 10)], ({ lookups }) => lookups)).toEqual([
      5, 0,
    ]);
  });
});

describe("a sparkline", () => {
  it("stays inside its box", () => {
    const path = linePath([0, 5, 2, 9], 100, 40);
    const numbers = path.slice(1).split(/[L ]/).map(Number);
    expect(Math.max(...numbers)).toBeLessThanOrEqual(100);
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
  });

  it("is nothing while there is one value only", () => {
    expect(linePath([3], 100, 40)).toBe("");
  });
});
