import { type Rule, readRules, writeRules } from "@/search/filter";

/**
 * What a search is made with. A new kind of query (a text, an address, several together) is one more member here, one
 * line in `parse` and `format` below, one in run.ts and one in chip.tsx.
 */
export type Query =
  /** An image of one's own: its bytes are in this browser under `key`; `twin` is an indexed image with the same bytes. */
  { kind: "upload"; key: string; twin: string | null } | { kind: "image"; id: string };

export interface SearchState {
  query: Query | null;
  /** How many results to show at most. */
  count: number;
  /** Lowest score to show; 0 shows all. */
  least: number;
  rules: Rule[];
}

export const COUNTS = { min: 1, max: 200, start: 24 };

/** Reads the state out of the address bar; whatever makes no sense there is left out. */
export function parse(search: string): SearchState {
  const given = new URLSearchParams(search);
  return {
    query: parseQuery(given),
    count: Math.round(within(given.get("show"), COUNTS.min, COUNTS.max, COUNTS.start)),
    least: within(given.get("least"), 0, 1, 0),
    rules: readRules(given.get("where")),
  };
}

export function format(state: SearchState): string {
  const params = new URLSearchParams();
  if (state.query?.kind === "image") params.set("like", state.query.id);
  if (state.query?.kind === "upload") {
    params.set("query", state.query.key);
    if (state.query.twin !== null) params.set("twin", state.query.twin);
  }
  if (state.count !== COUNTS.start) params.set("show", String(state.count));
  if (state.least > 0) params.set("least", String(state.least));
  if (state.rules.length > 0) params.set("where", writeRules(state.rules));
  const text = params.toString();
  return text && `?${text}`;
}

export const likeThis = (id: string): string =>
  `/${format({ query: { kind: "image", id }, count: COUNTS.start, least: 0, rules: [] })}`;

function parseQuery(given: URLSearchParams): Query | null {
  const id = given.get("like");
  if (id) return { kind: "image", id };
  const key = given.get("query");
  return key ? { kind: "upload", key, twin: given.get("twin") } : null;
}

function within(text: string | null, low: number, high: number, otherwise: number): number {
  const value = text === null || text.trim() === "" ? NaN : Number(text);
  return Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : otherwise;
}
