import { describe, expect, it } from "vitest";
import { effectiveMode, availableModes, vectorParts } from "@/query/search-mode";
import type { Part } from "@/query/search-state";

const words: Part = { kind: "text", text: "dogs", weight: 1 };
const picture: Part = { kind: "image", id: "a", weight: 1 };
const marks = { positive: ["b"], negative: [] };
const none = { positive: [], negative: [] };

describe("what images can be ranked by", () => {
  it("is looks where there are no words", () => {
    expect(availableModes({ parts: [picture], ...none }, true)).toEqual(["vector"]);
    expect(availableModes({ parts: [picture], ...marks }, false)).toEqual(["vector"]);
  });

  it("is everything for words alone", () => {
    expect(availableModes({ parts: [words], ...none }, true)).toEqual(["vector", "keywords", "hybrid"]);
  });

  it("is not words alone beside a picture or a mark", () => {
    expect(availableModes({ parts: [words, picture], ...none }, true)).toEqual(["vector", "hybrid"]);
    expect(availableModes({ parts: [words], ...marks }, true)).toEqual(["vector", "hybrid"]);
  });

  it("is descriptions and tags where the model reads no words", () => {
    expect(availableModes({ parts: [words], ...none }, false)).toEqual(["keywords"]);
    expect(availableModes({ parts: [words, picture], ...none }, false)).toEqual(["hybrid"]);
    expect(availableModes({ parts: [words], ...marks }, false)).toEqual(["hybrid"]);
    expect(availableModes({ parts: [words, { ...picture, weight: -0.5 }], ...marks }, false)).toEqual([]);
  });
});

describe("the mode", () => {
  it("is the chosen one where it is possible, else what comes nearest", () => {
    expect(effectiveMode({ parts: [words], mode: "keywords", ...none }, true)).toBe("keywords");
    expect(effectiveMode({ parts: [words], mode: "vector", ...none }, false)).toBe("keywords");
    expect(effectiveMode({ parts: [words, picture], mode: "keywords", ...none }, true)).toBe("hybrid");
    expect(effectiveMode({ parts: [picture], mode: "keywords", ...none }, true)).toBe("vector");
  });

  it("decides what is looked at", () => {
    expect(vectorParts([words, picture], "hybrid", true)).toEqual([words, picture]);
    expect(vectorParts([words, picture], "hybrid", false)).toEqual([picture]);
    expect(vectorParts([words], "keywords", true)).toEqual([]);
    expect(vectorParts([words], "vector", true)).toEqual([words]);
  });
});
