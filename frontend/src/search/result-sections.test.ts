import { describe, expect, it } from "vitest";
import type { Hit } from "@/api/types";
import { takeGroups, viewerPictures, buildSections } from "@/search/result-sections";

const hit = (id: string, more: Partial<Hit> = {}): Hit => ({
  image_id: id,
  score: 0.5,
  confidence: 0.9,
  sha256: `sha of ${id}`,
  width: 4,
  height: 3,
  metadata: {},
  duplicates: [],
  group: null,
  ...more,
});

const ids = (sections: ReturnType<typeof buildSections>) =>
  sections.map(({ title, entries }) => [title, entries.map(({ hit: { image_id } }) => image_id)]);

describe("the results as they are shown", () => {
  it("are one section without a title where they are not grouped", () => {
    const sections = buildSections([hit("a"), hit("b")], null, new Set());
    expect(ids(sections)).toEqual([[null, ["a", "b"]]]);
    expect(sections[0]?.entries.map(({ rank }) => rank)).toEqual([1, 2]);
  });

  it("have behind an opened hit those that are nearly the same, of which nothing else is known", () => {
    const hits = [hit("a", { duplicates: ["a1", "a2"] }), hit("b", { duplicates: ["b1"] })];
    const sections = buildSections(hits, null, new Set(["a"]));
    expect(ids(sections)).toEqual([[null, ["a", "a1", "a2", "b"]]]);
    expect(sections[0]?.entries[1]).toMatchObject({
      rank: null,
      hit: { width: 4, height: 3, sha256: "", metadata: null, confidence: null, duplicates: [] },
    });
    expect(viewerPictures(sections).map(({ score }) => score)).toEqual([0.5, undefined, undefined, 0.5]);
  });

  it("stand under what they have in common where they are grouped", () => {
    const hits = [hit("a", { group: "cat" }), hit("b", { group: "cat" }), hit("c", { group: true })];
    expect(ids(buildSections(hits, { field: "species", step: null }, new Set()))).toEqual([
      ["cat", ["a", "b"]],
      ["species: yes", ["c"]],
    ]);
  });

  it("are leafed through once each", () => {
    const hits = [hit("a", { group: "cat" }), hit("a", { group: "pet" })];
    expect(viewerPictures(buildSections(hits, { field: "tags", step: null }, new Set()))).toHaveLength(1);
  });

  it("are the first so many hits, or groups", () => {
    const hits = [hit("a", { group: 1 }), hit("b", { group: 1 }), hit("c", { group: 2 })];
    expect(takeGroups(hits, 1, false).map(({ image_id }) => image_id)).toEqual(["a"]);
    expect(takeGroups(hits, 1, true).map(({ image_id }) => image_id)).toEqual(["a", "b"]);
  });
});
