import { describe, expect, it } from "vitest";
import { describeRule as say, type Rule, toFilter } from "@/query/metadata-filter";
import {
  COUNT_RANGE,
  searchParams,
  similarUrl,
  MAX_PARTS,
  EMPTY_SEARCH,
  parseSearch,
  type SearchState,
  tagSearchUrl,
} from "@/query/search-state";

const upload = { kind: "upload", key: "abc", indexedCopy: null, weight: 1 } as const;

describe("the search in the address bar", () => {
  const states: SearchState[] = [
    EMPTY_SEARCH,
    {
      ...EMPTY_SEARCH,
      parts: [{ kind: "image", id: "cats/tom & kim.jpg", weight: 1 }],
      count: 7,
      threshold: 0.35,
    },
    { ...EMPTY_SEARCH, parts: [upload] },
    {
      ...EMPTY_SEARCH,
      parts: [{ kind: "text", text: "two dogs & a cat = 100 %", weight: 1 }],
      mode: "hybrid",
    },
    {
      ...EMPTY_SEARCH,
      parts: [upload],
      autoThreshold: true,
      diversity: 0.3,
      collapseDuplicates: true,
      groupBy: "camera.model",
    },
    { ...EMPTY_SEARCH, parts: [upload], positive: ["a&b", "c"], negative: ["ä/ö"], strategy: "best_score" },
    {
      ...EMPTY_SEARCH,
      parts: [
        { kind: "url", url: "https://example.org/a.jpg?size=2&b#c", weight: 1 },
        { ...upload, indexedCopy: "ä/ö?.png", weight: 2 },
        { kind: "text", text: "at night", weight: 0.5 },
        { kind: "image", id: "kim.jpg", weight: -0.5 },
        { ...upload, key: "def" },
      ],
    },
    {
      ...EMPTY_SEARCH,
      parts: [{ ...upload, indexedCopy: "ä/ö?.png" }],
      rules: [
        { field: "species", test: "any", values: ["cat", 7, true] },
        { field: "year", test: "between", from: 2000, to: null },
        { field: "owner", test: "missing" },
      ],
    },
  ];

  it.each(states)("comes back as it was written: %j", (state) => {
    expect(parseSearch(searchParams(state))).toEqual(state);
  });

  it("is empty where nothing is asked", () => {
    expect(searchParams(EMPTY_SEARCH)).toBe("");
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
    const { count, threshold, rules, diversity, collapseDuplicates, groupBy } = parseSearch(address);
    expect(diversity).toBeGreaterThanOrEqual(0);
    expect(diversity).toBeLessThanOrEqual(1);
    expect(collapseDuplicates).toBe(false);
    expect(groupBy).toBeNull();
    expect(count).toBeGreaterThanOrEqual(COUNT_RANGE.min);
    expect(count).toBeLessThanOrEqual(COUNT_RANGE.max);
    expect(threshold).toBeGreaterThanOrEqual(0);
    expect(threshold).toBeLessThanOrEqual(1);
    expect(rules).toEqual([]);
  });

  it.each([
    ["?weight=3&twin=x&text=dogs&twin=y", [{ kind: "text", text: "dogs", weight: 1 }]],
    ["?text=dogs&weight=0", [{ kind: "text", text: "dogs", weight: 1 }]],
    ["?text=dogs&weight=99", [{ kind: "text", text: "dogs", weight: 10 }]],
    ["?text=+&like=&toString=1", []],
  ])("takes no harm from the parts of %s", (address, parts) => {
    expect(parseSearch(address).parts).toEqual(parts);
  });

  it.each(["?mode=", "?mode=all", "?mode=vector", "?mode=toString"])(
    "knows no such mode as %s",
    (address) => {
      expect(parseSearch(address).mode).toBeNull();
    },
  );

  it.each(["?marks=", "?marks=sum_scores", "?marks=toString"])(
    "knows no such way to count marks as %s",
    (address) => {
      expect(parseSearch(address).strategy).toBe("average");
    },
  );

  it.each([
    ["?mode=look", { mode: "vector" }],
    ["?mode=words", { mode: "keywords" }],
    ["?mode=both", { mode: "hybrid" }],
    ["?marks=nudge", { strategy: "relevance_feedback" }],
    ["?marks=nearest", { strategy: "best_score" }],
    ["?marks=tally", { strategy: "sum_scores" }],
    ["?show=7", { count: 7 }],
    ["?least=0.35", { threshold: 0.35 }],
    ["?least=auto", { autoThreshold: true }],
    ["?variety=0.3", { diversity: 0.3 }],
    ["?fold=1", { collapseDuplicates: true }],
    ["?group=year&step=month", { groupBy: "year", groupStep: "month" }],
    ["?more=a&less=b", { positive: ["a"], negative: ["b"] }],
    [
      "?where=%5B%7B%22field%22%3A%22a%22%2C%22test%22%3A%22there%22%7D%5D",
      { rules: [{ field: "a", test: "there" }] },
    ],
    ["?like=a.png", { parts: [{ kind: "image", id: "a.png", weight: 1 }] }],
    ["?query=abc&twin=b.png", { parts: [{ ...upload, indexedCopy: "b.png" }] }],
    [
      "?url=https%3A%2F%2Fexample.org%2Fa.jpg",
      { parts: [{ kind: "url", url: "https://example.org/a.jpg", weight: 1 }] },
    ],
    ["?text=dogs&weight=0.5", { parts: [{ kind: "text", text: "dogs", weight: 0.5 }] }],
  ])("keeps the meaning of a link with %s, and its words", (address, change) => {
    expect(parseSearch(address)).toEqual({ ...EMPTY_SEARCH, ...change });
    expect(searchParams(parseSearch(address))).toBe(address);
  });

  it("has a mark of an image once", () => {
    expect(parseSearch("?more=a&more=a&less=a&less=b&more=")).toMatchObject({
      positive: ["a"],
      negative: ["b"],
    });
  });

  it("has no more parts than a query may have", () => {
    expect(parseSearch("?" + "like=a&".repeat(40)).parts).toHaveLength(MAX_PARTS);
  });

  it("names a tag that is searched for", () => {
    expect(tagSearchUrl("red bus")).toBe("/?text=red+bus&mode=words");
  });

  it("names an indexed image by its encoded id", () => {
    expect(similarUrl("a/b c.png")).toBe("/?like=a%2Fb+c.png");
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
