import { describe, expect, it } from "vitest";
import { describe as say, type Rule, toFilter } from "@/query/metadata-filter";
import {
  COUNTS,
  format,
  likeThis,
  MAX_PARTS,
  NOTHING,
  parse,
  type SearchState,
  taggedWith,
} from "@/query/search-state";

const upload = { kind: "upload", key: "abc", twin: null, weight: 1 } as const;

describe("the search in the address bar", () => {
  const states: SearchState[] = [
    NOTHING,
    {
      ...NOTHING,
      parts: [{ kind: "image", id: "cats/tom & kim.jpg", weight: 1 }],
      count: 7,
      least: 0.35,
    },
    { ...NOTHING, parts: [upload] },
    { ...NOTHING, parts: [{ kind: "text", text: "two dogs & a cat = 100 %", weight: 1 }], mode: "both" },
    { ...NOTHING, parts: [upload], auto: true, variety: 0.3, fold: true, group: "camera.model" },
    { ...NOTHING, parts: [upload], liked: ["a&b", "c"], disliked: ["ä/ö"], strategy: "nearest" },
    {
      ...NOTHING,
      parts: [
        { kind: "url", url: "https://example.org/a.jpg?size=2&b#c", weight: 1 },
        { ...upload, twin: "ä/ö?.png", weight: 2 },
        { kind: "text", text: "at night", weight: 0.5 },
        { kind: "image", id: "kim.jpg", weight: -0.5 },
        { ...upload, key: "def" },
      ],
    },
    {
      ...NOTHING,
      parts: [{ ...upload, twin: "ä/ö?.png" }],
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
    expect(format(NOTHING)).toBe("");
  });

  it.each([
    "?show=0",
    "?show=9999",
    "?show=abc",
    "?least=-4",
    "?least=2",
    "?variety=-1&fold=true",
    "?variety=7&group=",
    "?where=[",
    '?where={"a":1}',
    "?where=[7,null]",
  ])("makes sense of %s", (address) => {
    const { count, least, rules, variety, fold, group } = parse(address);
    expect(variety).toBeGreaterThanOrEqual(0);
    expect(variety).toBeLessThanOrEqual(1);
    expect(fold).toBe(false);
    expect(group).toBeNull();
    expect(count).toBeGreaterThanOrEqual(COUNTS.min);
    expect(count).toBeLessThanOrEqual(COUNTS.max);
    expect(least).toBeGreaterThanOrEqual(0);
    expect(least).toBeLessThanOrEqual(1);
    expect(rules).toEqual([]);
  });

  it.each([
    ["?weight=3&twin=x&text=dogs&twin=y", [{ kind: "text", text: "dogs", weight: 1 }]],
    ["?text=dogs&weight=0", [{ kind: "text", text: "dogs", weight: 1 }]],
    ["?text=dogs&weight=99", [{ kind: "text", text: "dogs", weight: 10 }]],
    ["?text=+&like=&toString=1", []],
  ])("takes no harm from the parts of %s", (address, parts) => {
    expect(parse(address).parts).toEqual(parts);
  });

  it.each(["?mode=", "?mode=all", "?mode=toString"])("knows no such mode as %s", (address) => {
    expect(parse(address).mode).toBeNull();
  });

  it.each(["?marks=", "?marks=average", "?marks=toString"])(
    "knows no such way to count marks as %s",
    (address) => {
      expect(parse(address).strategy).toBe("blend");
    },
  );

  it("has a mark of an image once", () => {
    expect(parse("?more=a&more=a&less=a&less=b&more=")).toMatchObject({ liked: ["a"], disliked: ["b"] });
  });

  it("has no more parts than a query may have", () => {
    expect(parse("?" + "like=a&".repeat(40)).parts).toHaveLength(MAX_PARTS);
  });

  it("names a tag that is searched for", () => {
    expect(taggedWith("red bus")).toBe("/?text=red+bus&mode=words");
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
