import { describe, expect, it } from "vitest";
import { likelyCount } from "@/search/tail";

const hits = (...confidences: (number | null)[]) => confidences.map((confidence) => ({ confidence }));

describe("what is shown before the fold", () => {
  it("ends with the last hit that may be meant", () => {
    expect(likelyCount(hits(0.9, 0.8, 0.5, 0.4, 0.3, 0.1, 0.1, 0.05, 0.01))).toBe(5);
  });

  it("is a few where none may be meant", () => {
    expect(likelyCount(hits(0.14, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.01))).toBe(4);
  });

  it("is all where nobody has measured what scores are worth, or the tail is not worth a fold", () => {
    expect(likelyCount(hits(null, null, null, null, null, null, null, null))).toBe(8);
    expect(likelyCount(hits(0.9, 0.8, 0.5, 0.4, 0.3, 0.1, 0.1))).toBe(7);
    expect(likelyCount([])).toBe(0);
  });
});
