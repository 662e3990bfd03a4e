import { describe, expect, it } from "vitest";
import type { Metadata } from "@/api/types";
import { joinDescription, readTags, splitDescription, writeTags } from "@/viewer/description-fields";

describe("the words of an image", () => {
  it("are its description and tags, apart from the other fields", () => {
    const metadata = { year: 2020, description: "A cat.", tags: ["cat", "red sofa"] };
    const { words, others } = splitDescription(metadata);
    expect(words).toEqual({ description: "A cat.", tags: ["cat", "red sofa"] });
    expect(others).toEqual({ year: 2020 });
    expect(joinDescription(words, others)).toEqual(metadata);
  });

  const others: Metadata[] = [
    { description: 7 },
    { tags: "cat" },
    { tags: [1, 2] },
    { tags: ["a, b"] },
    { tags: [" a"] },
  ];
  it.each(others)("are no fields of another shape: %j", (metadata) => {
    expect(splitDescription(metadata)).toEqual({ words: { description: "", tags: [] }, others: metadata });
  });

  it("are not there where nothing is said", () => {
    expect(joinDescription({ description: " ", tags: [] }, { year: 1 })).toEqual({ year: 1 });
  });

  it("come back from a line of tags", () => {
    expect(readTags(writeTags(["cat", "red sofa"]))).toEqual(["cat", "red sofa"]);
    expect(readTags(" cat,, cat , red sofa,")).toEqual(["cat", "red sofa"]);
  });
});
