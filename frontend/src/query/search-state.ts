import { readStep, type Step } from "@/query/grouping";
import type { Mode, Strategy } from "@/query/modes";
import { type Rule, readRules, writeRules } from "@/query/metadata-filter";
import { PATHS } from "@/paths";

/** One thing to look like. A new kind is one more member here, one line in `SOURCES` below and one in use-search.ts. */
export type Source =
  /** An image of one's own: its bytes are in this browser under `key`; `indexedCopy` is the id of an indexed image with the same bytes. */
  | { kind: "upload"; key: string; indexedCopy: string | null }
  | { kind: "image"; id: string }
  | { kind: "text"; text: string }
  | { kind: "url"; url: string };

/** How much it counts: 1 as it is, below 0 for what the images should not be like. Never 0. */
export type Part = Source & { weight: number };

export interface SearchState {
  /** What is searched with, all of it together; none on the start page. */
  parts: Part[];
  /** What images are ranked by; null for what suits the query. */
  mode: Mode | null;
  /** How many results to show at most. */
  count: number;
  /** Lowest score to show; 0 shows all. */
  threshold: number;
  /** Whether the server ends the results at a drop of the scores. */
  autoThreshold: boolean;
  rules: Rule[];
  /** How unlike each other results are to be, 0 to 1. */
  diversity: number;
  /** Whether images that are nearly the same are one result. */
  collapseDuplicates: boolean;
  /** The metadata field by which results are grouped. */
  groupBy: string | null;
  /** How values are grouped; null if each value is a group. */
  groupStep: Step | null;
  /** Indexed images that the results are to be more like, and less like. */
  positive: string[];
  negative: string[];
  /** How they shape the ranking. */
  strategy: Strategy;
}

export const COUNT_RANGE = { min: 1, max: 200, start: 24 };
export const MAX_PARTS = 16;
/** Of each of positive and negative. */
export const MAX_MARKS = 32;
const MAX_WEIGHT = 10;

export const EMPTY_SEARCH: SearchState = {
  parts: [],
  mode: null,
  count: COUNT_RANGE.start,
  threshold: 0,
  autoThreshold: false,
  rules: [],
  diversity: 0,
  collapseDuplicates: false,
  groupBy: null,
  groupStep: null,
  positive: [],
  negative: [],
  strategy: "average",
};

/** How each kind of source is called in the address. */
const SOURCES: Record<string, (value: string) => Source> = {
  like: (id) => ({ kind: "image", id }),
  query: (key) => ({ kind: "upload", key, indexedCopy: null }),
  text: (text) => ({ kind: "text", text }),
  url: (url) => ({ kind: "url", url }),
};

/** The words of the address for modes and strategies. They are in people's links, so they stay as they are. */
const MODE_PARAMS: Record<string, Mode> = { look: "vector", words: "keywords", both: "hybrid" };
const STRATEGY_PARAMS: Record<string, Strategy> = {
  blend: "average",
  nudge: "relevance_feedback",
  nearest: "best_score",
  tally: "sum_scores",
};

const lookUp = <T>(params: Record<string, T>, word: string | null): T | undefined =>
  word !== null && Object.hasOwn(params, word) ? params[word] : undefined;

const wordFor = <T>(params: Record<string, T>, value: T): string =>
  Object.keys(params).find((word) => params[word] === value) ?? "";

/** Reads the state out of the address bar; leaves out whatever makes no sense there. */
export function parseSearch(search: string): SearchState {
  const given = new URLSearchParams(search);
  return {
    parts: parseParts(given),
    mode: lookUp(MODE_PARAMS, given.get("mode")) ?? null,
    count: Math.round(clampOr(given.get("show"), COUNT_RANGE.min, COUNT_RANGE.max, COUNT_RANGE.start)),
    threshold: clampOr(given.get("least"), 0, 1, 0),
    autoThreshold: given.get("least") === "auto",
    rules: readRules(given.get("where")),
    diversity: clampOr(given.get("variety"), 0, 1, 0),
    collapseDuplicates: given.get("fold") === "1",
    groupBy: given.get("group") === "" ? null : given.get("group"),
    groupStep: given.get("group") ? readStep(given.get("step")) : null,
    ...readMarks(given),
    strategy: lookUp(STRATEGY_PARAMS, given.get("marks")) ?? EMPTY_SEARCH.strategy,
  };
}

function readMarks(given: URLSearchParams): Pick<SearchState, "positive" | "negative"> {
  const ids = (name: string) => [...new Set(given.getAll(name))].filter((id) => id !== "").slice(-MAX_MARKS);
  const positive = ids("more");
  return { positive, negative: ids("less").filter((id) => !positive.includes(id)) };
}

/** The address has the parts in order; `weight` and `twin` belong to the part before them. */
function parseParts(given: URLSearchParams): Part[] {
  const parts: Part[] = [];
  for (const [name, value] of given) {
    const last = parts.at(-1);
    const source = Object.hasOwn(SOURCES, name) && value.trim() !== "" ? SOURCES[name]?.(value) : undefined;
    if (source) parts.push({ ...source, weight: 1 });
    else if (name === "twin" && last?.kind === "upload") last.indexedCopy = value;
    else if (name === "weight" && last) last.weight = clampOr(value, -MAX_WEIGHT, MAX_WEIGHT, 1) || 1;
  }
  return parts.slice(0, MAX_PARTS);
}

/** Writes the state as the query of an address, "" for an empty search; `parseSearch` reads it back. */
export function searchParams(state: SearchState): string {
  const params = new URLSearchParams();
  for (const part of state.parts) {
    if (part.kind === "image") params.append("like", part.id);
    else if (part.kind === "text") params.append("text", part.text);
    else if (part.kind === "url") params.append("url", part.url);
    else {
      params.append("query", part.key);
      if (part.indexedCopy !== null) params.append("twin", part.indexedCopy);
    }
    if (part.weight !== 1) params.append("weight", String(part.weight));
  }
  if (state.mode !== null) params.set("mode", wordFor(MODE_PARAMS, state.mode));
  if (state.count !== COUNT_RANGE.start) params.set("show", String(state.count));
  if (state.autoThreshold) params.set("least", "auto");
  else if (state.threshold > 0) params.set("least", String(state.threshold));
  if (state.rules.length > 0) params.set("where", writeRules(state.rules));
  if (state.diversity > 0) params.set("variety", String(state.diversity));
  if (state.collapseDuplicates) params.set("fold", "1");
  if (state.groupBy !== null) params.set("group", state.groupBy);
  if (state.groupBy !== null && state.groupStep !== null) params.set("step", String(state.groupStep));
  for (const id of state.positive) params.append("more", id);
  for (const id of state.negative) params.append("less", id);
  if (state.strategy !== EMPTY_SEARCH.strategy) params.set("marks", wordFor(STRATEGY_PARAMS, state.strategy));
  const text = params.toString();
  return text && `?${text}`;
}

/** The address of a search, from the root of the page. */
export const searchPath = (state: SearchState): string => `${PATHS.search}${searchParams(state)}`;

/** The address of a new search with one thing. */
export const searchUrl = (source: Source): string =>
  searchPath({ ...EMPTY_SEARCH, parts: [{ ...source, weight: 1 }] });

/** The address of a search for a word in descriptions and tags. */
export const tagSearchUrl = (tag: string): string =>
  searchPath({ ...EMPTY_SEARCH, parts: [{ kind: "text", text: tag, weight: 1 }], mode: "keywords" });

export const similarUrl = (id: string): string => searchUrl({ kind: "image", id });

function clampOr(text: string | null, low: number, high: number, otherwise: number): number {
  const value = text === null || text.trim() === "" ? NaN : Number(text);
  return Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : otherwise;
}
