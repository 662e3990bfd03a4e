import { describe, expect, it } from "vitest";
import { modeOf, modesFor, seenParts } from "@/query/search-mode";
import type { Part } from "@/query/search-state";

const words: Part = { kind: "text", text: "dogs", weight: 1 };
const picture: Part = { kind: "image", id: "a", weight: 1 };
const marks = { liked: ["b"], disliked: [] };
const none = { liked: [], disliked: [] };

describe("what images can be ranked by", () => {
  it("is looks where there are no words", () => {
    expect(modesFor({ parts: [picture], ...none }, true)).toEqual(["look"]);
    expect(modesFor({ parts: [picture], ...marks }, false)).toEqual(["look"]);
  });

  it("is everything for words alone", () => {
    expect(modesFor({ parts: [words], ...none }, true)).toEqual(["look", "words", "both"]);
  });

  it("is not words alone beside a picture or a mark", () => {
    expect(modesFor({ parts: [words, picture], ...none }, true)).toEqual(["look", "both"]);
    expect(modesFor({ parts: [words], ...marks }, true)).toEqual(["look", "both"]);
  });

  it("is descriptions and tags where the model reads no words", () => {
    expect(modesFor({ parts: [words], ...none }, false)).toEqual(["words"]);
    expect(modesFor({ parts: [words, picture], ...none }, false)).toEqual(["both"]);
    expect(modesFor({ parts: [words], ...marks }, false)).toEqual(["both"]);
    expect(modesFor({ parts: [words, { ...picture, weight: -0.5 }], ...marks }, false)).toEqual([]);
  });
});

describe("the mode", () => {
  it("is the chosen one where it is possible, else what comes nearest", () => {
    expect(modeOf({ parts: [words], mode: "words", ...none }, true)).toBe("words");
    expect(modeOf({ parts: [words], mode: "look", ...none }, false)).toBe("words");
    expect(modeOf({ parts: [words, picture], mode: "words", ...none }, true)).toBe("both");
    expect(modeOf({ parts: [picture], mode: "words", ...none }, true)).toBe("look");
  });

  it("decides what is looked at", () => {
    expect(seenParts([words, picture], "both", true)).toEqual([words, picture]);
    expect(seenParts([words, picture], "both", false)).toEqual([picture]);
    expect(seenParts([words], "words", true)).toEqual([]);
    expect(seenParts([words], "look", true)).toEqual([words]);
  });
});
