import { describe, expect, it } from "vitest";
import type { Json } from "@/api/types";
import { mergePatch, readValue, writeValue } from "@/viewer/merge-patch";

describe("what is sent of an edit", () => {
  it("names only what has changed", () => {
    const before = { species: "cat", year: 2020, owner: { name: "Kim", city: "Ulm" }, draft: true };
    const after = { species: "cat", year: 2021, owner: { name: "Tom", city: "Ulm" }, tags: ["a"] };
    expect(mergePatch(before, after)).toEqual({
      year: 2021,
      owner: { name: "Tom" },
      draft: null,
      tags: ["a"],
    });
    expect(mergePatch(before, before)).toEqual({});
  });
});

describe("a value as it is edited", () => {
  const values: Json[] = [
    "cat",
    "two words",
    "2024",
    "true",
    "yes",
    "no",
    "",
    '"quoted"',
    7,
    1.5,
    true,
    false,
    ["a", 1],
    { a: "b" },
  ];
  it.each(values)("comes back as it was: %j", (value) => {
    expect(readValue(writeValue(value))).toEqual(value);
  });

  it("is taken as one would expect", () => {
    expect(readValue(" 12 ")).toBe(12);
    expect(readValue("yes")).toBe(true);
    expect(readValue("[not json")).toBe("[not json");
  });
});
