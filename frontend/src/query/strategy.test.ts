import { describe, expect, it } from "vitest";
import { scaleOf } from "@/query/score-scale";
import { NOTHING, type Part, type SearchState } from "@/query/search-state";
import { canVary, strategiesFor, strategyOf } from "@/query/strategy";

const words: Part = { kind: "text", text: "dogs", weight: 1 };
const picture: Part = { kind: "image", id: "a", weight: 1 };

describe("how marks shape a ranking", () => {
  it("is no question where nothing is marked", () => {
    expect(strategyOf({ ...NOTHING, parts: [picture], strategy: "nudge" }, true)).toBeNull();
  });

  it("is as one chooses where there is something to start from", () => {
    const asked: SearchState = { ...NOTHING, parts: [picture], disliked: ["b"], strategy: "nudge" };
    expect(strategyOf(asked, true)).toBe("nudge");
    expect(strategyOf({ ...asked, parts: [words] }, true)).toBe("nudge");
    expect(strategyOf({ ...asked, parts: [words], liked: ["c"] }, false)).toBe("nudge");
  });

  it("is not from a middle where there is none: dislikes alone, beside words that are not looked at", () => {
    const asked = { ...NOTHING, parts: [words], disliked: ["b"] };
    expect(strategiesFor(asked, false)).toEqual(["nearest", "tally"]);
    expect(strategyOf({ ...asked, strategy: "blend" }, false)).toBe("tally");
    expect(strategyOf({ ...asked, strategy: "nearest" }, false)).toBe("nearest");
  });

  it("leaves no distances by which results could be varied where the nearest decides", () => {
    expect(canVary("nearest")).toBe(false);
    expect(canVary("tally")).toBe(true);
    expect(canVary(null)).toBe(true);
  });

  it("has scores that are no cosines where the nearest decides, unless ranks are fused", () => {
    expect(scaleOf("look", "nearest").name).toBe("Nearest");
    expect(scaleOf("look", "nudge").name).toBe("Cosine");
    expect(scaleOf("look", null).name).toBe("Cosine");
    expect(scaleOf("both", "nearest").name).toBe("Rank fusion");
  });
});
