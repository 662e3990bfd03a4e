import { readStep, type Step } from "@/query/grouping";
import { isMode, isStrategy, type Mode, type Strategy } from "@/query/modes";
import { type Rule, readRules, writeRules } from "@/query/metadata-filter";

/** One thing to look like. A new kind is one more member here, one line in `SOURCES` below and one in use-search.ts. */
export type Source =
  /** An image of one's own: its bytes are in this browser under `key`; `twin` is an indexed image with the same bytes. */
  | { kind: "upload"; key: string; twin: string | null }
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
  least: number;
  /** Whether the scores themselves are to tell where the results end. */
  auto: boolean;
  rules: Rule[];
  /** How unlike each other results are to be, 0 to 1. */
  variety: number;
  /** Whether images that are nearly the same are one result. */
  fold: boolean;
  /** The metadata field by which results are grouped. */
  group: string | null;
  /** How its values make up a group; null where each does. */
  step: Step | null;
  /** Indexed images that the results are to be more like, and less like. */
  liked: string[];
  disliked: string[];
  /** How they shape the ranking. */
  strategy: Strategy;
}

export const COUNTS = { min: 1, max: 200, start: 24 };
export const MAX_PARTS = 16;
/** Of each of liked and disliked. */
export const MAX_MARKS = 32;
const MAX_WEIGHT = 10;

export const NOTHING: SearchState = {
  parts: [],
  mode: null,
  count: COUNTS.start,
  least: 0,
  auto: false,
  rules: [],
  variety: 0,
  fold: false,
  group: null,
  step: null,
  liked: [],
  disliked: [],
  strategy: "blend",
};

/** How each kind of source is called in the address. */
const SOURCES: Record<string, (value: string) => Source> = {
  like: (id) => ({ kind: "image", id }),
  query: (key) => ({ kind: "upload", key, twin: null }),
  text: (text) => ({ kind: "text", text }),
  url: (url) => ({ kind: "url", url }),
};

/** Reads the state out of the address bar; whatever makes no sense there is left out. */
export function parse(search: string): SearchState {
  const given = new URLSearchParams(search);
  const mode = given.get("mode");
  const strategy = given.get("marks");
  return {
    parts: parseParts(given),
    mode: isMode(mode) ? mode : null,
    count: Math.round(within(given.get("show"), COUNTS.min, COUNTS.max, COUNTS.start)),
    least: within(given.get("least"), 0, 1, 0),
    auto: given.get("least") === "auto",
    rules: readRules(given.get("where")),
    variety: within(given.get("variety"), 0, 1, 0),
    fold: given.get("fold") === "1",
    group: given.get("group") === "" ? null : given.get("group"),
    step: given.get("group") ? readStep(given.get("step")) : null,
    ...readMarks(given),
    strategy: isStrategy(strategy) ? strategy : NOTHING.strategy,
  };
}

function readMarks(given: URLSearchParams): Pick<SearchState, "liked" | "disliked"> {
  const ids = (name: string) => [...new Set(given.getAll(name))].filter((id) => id !== "").slice(-MAX_MARKS);
  const liked = ids("more");
  return { liked, disliked: ids("less").filter((id) => !liked.includes(id)) };
}

/** The parts stand in the address one after the other; `weight` and `twin` speak of the one before them. */
function parseParts(given: URLSearchParams): Part[] {
  const parts: Part[] = [];
  for (const [name, value] of given) {
    const last = parts.at(-1);
    const source = Object.hasOwn(SOURCES, name) && value.trim() !== "" ? SOURCES[name]?.(value) : undefined;
    if (source) parts.push({ ...source, weight: 1 });
    else if (name === "twin" && last?.kind === "upload") last.twin = value;
    else if (name === "weight" && last) last.weight = within(value, -MAX_WEIGHT, MAX_WEIGHT, 1) || 1;
  }
  return parts.slice(0, MAX_PARTS);
}

export function format(state: SearchState): string {
  const params = new URLSearchParams();
  for (const part of state.parts) {
    if (part.kind === "image") params.append("like", part.id);
    else if (part.kind === "text") params.append("text", part.text);
    else if (part.kind === "url") params.append("url", part.url);
    else {
      params.append("query", part.key);
      if (part.twin !== null) params.append("twin", part.twin);
    }
    if (part.weight !== 1) params.append("weight", String(part.weight));
  }
  if (state.mode !== null) params.set("mode", state.mode);
  if (state.count !== COUNTS.start) params.set("show", String(state.count));
  if (state.auto) params.set("least", "auto");
  else if (state.least > 0) params.set("least", String(state.least));
  if (state.rules.length > 0) params.set("where", writeRules(state.rules));
  if (state.variety > 0) params.set("variety", String(state.variety));
  if (state.fold) params.set("fold", "1");
  if (state.group !== null) params.set("group", state.group);
  if (state.group !== null && state.step !== null) params.set("step", String(state.step));
  for (const id of state.liked) params.append("more", id);
  for (const id of state.disliked) params.append("less", id);
  if (state.strategy !== NOTHING.strategy) params.set("marks", state.strategy);
  const text = params.toString();
  return text && `?${text}`;
}

/** The address of a new search with one thing. */
export const searchFor = (source: Source): string =>
  `/${format({ ...NOTHING, parts: [{ ...source, weight: 1 }] })}`;

/** The address of a search for a word in descriptions and tags. */
export const taggedWith = (tag: string): string =>
  `/${format({ ...NOTHING, parts: [{ kind: "text", text: tag, weight: 1 }], mode: "words" })}`;

export const likeThis = (id: string): string => searchFor({ kind: "image", id });

function within(text: string | null, low: number, high: number, otherwise: number): number {
  const value = text === null || text.trim() === "" ? NaN : Number(text);
  return Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : otherwise;
}
