import { describe, expect, it } from "vitest";
import { markOf, NO_MARKS, toggled, withMark } from "@/query/feedback-marks";
import { MAX_MARKS } from "@/query/search-state";

describe("marks", () => {
  it("are one thing or the other, and can be taken back", () => {
    const up = withMark(NO_MARKS, "a", "up");
    expect(markOf(up, "a")).toBe("up");
    const down = withMark(up, "a", "down");
    expect(down).toEqual({ liked: [], disliked: ["a"] });
    expect(markOf(down, "a")).toBe("down");
    expect(withMark(down, "a", null)).toEqual(NO_MARKS);
    expect(markOf(NO_MARKS, "a")).toBeNull();
  });

  it("are taken back when they are said once more", () => {
    expect(toggled(null, "up")).toBe("up");
    expect(toggled("down", "up")).toBe("up");
    expect(toggled("up", "up")).toBeNull();
  });

  it("are no more than a search takes: the oldest give way", () => {
    let marks = NO_MARKS;
    for (let number = 0; number <= MAX_MARKS; number++) marks = withMark(marks, `image ${number}`, "up");
    expect(marks.liked).toHaveLength(MAX_MARKS);
    expect(marks.liked[0]).toBe("image 1");
  });
});
