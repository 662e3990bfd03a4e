import { describe, expect, it } from "vitest";
import { scoreScale } from "@/query/score-scale";
import { EMPTY_SEARCH, type Part, type SearchState } from "@/query/search-state";
import { supportsDiversity, availableStrategies, effectiveStrategy } from "@/query/strategy";

const words: Part = { kind: "text", text: "dogs", weight: 1 };
const picture: Part = { kind: "image", id: "a", weight: 1 };

describe("how marks shape a ranking", () => {
  it("is no question where nothing is marked", () => {
    expect(
      effectiveStrategy({ ...EMPTY_SEARCH, parts: [picture], strategy: "relevance_feedback" }, true),
    ).toBeNull();
  });

  it("is as one chooses where there is something to start from", () => {
    const asked: SearchState = {
      ...EMPTY_SEARCH,
      parts: [picture],
      negative: ["b"],
      strategy: "relevance_feedback",
    };
    expect(effectiveStrategy(asked, true)).toBe("relevance_feedback");
    expect(effectiveStrategy({ ...asked, parts: [words] }, true)).toBe("relevance_feedback");
    expect(effectiveStrategy({ ...asked, parts: [words], positive: ["c"] }, false)).toBe(
      "relevance_feedback",
    );
  });

  it("is not from a middle where there is none: dislikes alone, beside words that are not looked at", () => {
    const asked = { ...EMPTY_SEARCH, parts: [words], negative: ["b"] };
    expect(availableStrategies(asked, false)).toEqual(["best_score", "sum_scores"]);
    expect(effectiveStrategy({ ...asked, strategy: "average" }, false)).toBe("sum_scores");
    expect(effectiveStrategy({ ...asked, strategy: "best_score" }, false)).toBe("best_score");
  });

  it("leaves no distances by which results could be varied where the nearest decides", () => {
    expect(supportsDiversity("best_score")).toBe(false);
    expect(supportsDiversity("sum_scores")).toBe(true);
    expect(supportsDiversity(null)).toBe(true);
  });

  it("has scores that are no cosines where the nearest decides, unless ranks are fused", () => {
    expect(scoreScale("vector", "best_score").name).toBe("Closest example");
    expect(scoreScale("vector", "relevance_feedback").name).toBe("Similarity");
    expect(scoreScale("vector", null).name).toBe("Similarity");
    expect(scoreScale("hybrid", "best_score").name).toBe("Combined");
  });
});
