import { describe, expect, it } from "vitest";
import { markOf, NO_MARKS, nextMark, withMark } from "@/query/feedback-marks";
import { MAX_MARKS } from "@/query/search-state";

describe("marks", () => {
  it("are one thing or the other, and can be taken back", () => {
    const up = withMark(NO_MARKS, "a", "positive");
    expect(markOf(up, "a")).toBe("positive");
    const down = withMark(up, "a", "negative");
    expect(down).toEqual({ positive: [], negative: ["a"] });
    expect(markOf(down, "a")).toBe("negative");
    expect(withMark(down, "a", null)).toEqual(NO_MARKS);
    expect(markOf(NO_MARKS, "a")).toBeNull();
  });

  it("are taken back when they are said once more", () => {
    expect(nextMark(null, "positive")).toBe("positive");
    expect(nextMark("negative", "positive")).toBe("positive");
    expect(nextMark("positive", "positive")).toBeNull();
  });

  it("are no more than a search takes: the oldest give way", () => {
    let marks = NO_MARKS;
    for (let number = 0; number <= MAX_MARKS; number++)
      marks = withMark(marks, `image ${number}`, "positive");
    expect(marks.positive).toHaveLength(MAX_MARKS);
    expect(marks.positive[0]).toBe("image 1");
  });
});
