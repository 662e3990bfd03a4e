import { describe, expect, it } from "vitest";
import { describe as say, type Rule, toFilter } from "@/search/filter";
import { COUNTS, format, likeThis, parse, type SearchState } from "@/search/state";

const nothing: SearchState = { query: null, count: COUNTS.start, least: 0, rules: [] };

describe("the search in the address bar", () => {
  const states: SearchState[] = [
    nothing,
    { ...nothing, query: { kind: "image", id: "cats/tom & kim.jpg" }, count: 7, least: 0.35 },
    { ...nothing, query: { kind: "upload", key: "abc", twin: null } },
    {
      ...nothing,
      query: { kind: "upload", key: "abc", twin: "ä/ö?.png" },
      rules: [
        { field: "species", test: "any", values: ["cat", 7, true] },
        { field: "year", test: "between", from: 2000, to: null },
        { field: "owner", test: "missing" },
      ],
    },
  ];

  it.each(states)("comes back as it was written: %j", (state) => {
    expect(parse(format(state))).toEqual(state);
  });

  it("is empty where nothing is asked", () => {
    expect(format(nothing)).toBe("");
  });

  it.each([
    "?show=0",
    "?show=9999",
    "?show=abc",
    "?least=-4",
    "?least=2",
    "?where=[",
    '?where={"a":1}',
    "?where=[7,null]",
  ])("makes sense of %s", (address) => {
    const { count, least, rules } = parse(address);
    expect(count).toBeGreaterThanOrEqual(COUNTS.min);
    expect(count).toBeLessThanOrEqual(COUNTS.max);
    expect(least).toBeGreaterThanOrEqual(0);
    expect(least).toBeLessThanOrEqual(1);
    expect(rules).toEqual([]);
  });

  it("names an indexed image by its encoded id", () => {
    expect(likeThis("a/b c.png")).toBe("/?like=a%2Fb+c.png");
  });
});

describe("the filter", () => {
  const species: Rule = { field: "species", test: "any", values: ["cat", "dog"] };

  it("is none while the rules ask for nothing", () => {
    expect(toFilter([])).toBeNull();
    expect(
      toFilter([
        { field: "species", test: "any", values: [] },
        { field: "year", test: "between", from: null, to: null },
      ]),
    ).toBeNull();
  });

  it("is one condition for one rule", () => {
    expect(toFilter([species])).toEqual({ species: { in: ["cat", "dog"] } });
    expect(toFilter([{ field: "owner", test: "missing" }])).toEqual({ owner: { exists: false } });
  });

  it("demands all rules", () => {
    expect(toFilter([species, { field: "year", test: "between", from: 2000, to: 2010 }])).toEqual({
      and: [{ species: { in: ["cat", "dog"] } }, { year: { gte: 2000, lte: 2010 } }],
    });
  });

  it("can be said aloud", () => {
    expect(say(species)).toBe("species: cat or dog");
    expect(say({ field: "year", test: "between", from: 2000, to: null })).toBe("year: from 2000");
  });
});
