import { expect, it } from "vitest";
import { KeptDrafts } from "@/viewer/kept-drafts";

const draft = (description: string) => ({ words: { description, tags: "" }, fields: [] });

it("what was typed is there until it is forgotten, each image's own", () => {
  const kept = new KeptDrafts();
  kept.keep("a", draft("a boat"));
  kept.keep("a", draft("a red boat"));
  kept.keep("b", draft("a house"));
  expect(kept.of("a")).toEqual(draft("a red boat"));
  expect(kept.of("a")).toEqual(draft("a red boat"));
  kept.forget("a");
  expect(kept.of("a")).toBeNull();
  expect(kept.has("b")).toBe(true);
});

it("only the latest few are kept", () => {
  const kept = new KeptDrafts();
  for (let number = 0; number < 21; number += 1) kept.keep(`image-${number}`, draft(""));
  expect(kept.size).toBe(20);
  expect(kept.has("image-0")).toBe(false);
  expect(kept.has("image-20")).toBe(true);
});
