import { MAX_MARKS, type SearchState } from "@/query/search-state";

/** A verdict on a result: more like this, or less like this. */
export type Mark = "positive" | "negative";

/** How results are marked. */
export interface Marking {
  markOf: (id: string) => Mark | null;
  onMark: (id: string, mark: Mark | null) => void;
}

/** The keys that mark the focused result. */
export const MARK_KEYS: Readonly<Record<string, Mark>> = { "+": "positive", "-": "negative" };

/** The mark after a person gave one: the same mark again removes it. */
export const nextMark = (before: Mark | null, said: Mark): Mark | null => (before === said ? null : said);

type Marks = Pick<SearchState, "positive" | "negative">;

export function markOf({ positive, negative }: Marks, id: string): Mark | null {
  if (positive.includes(id)) return "positive";
  return negative.includes(id) ? "negative" : null;
}

/** The marks after one more; null removes the mark of the image. Too many drop the oldest. */
export function withMark({ positive, negative }: Marks, id: string, mark: Mark | null): Marks {
  const rest = (ids: string[]) => ids.filter((other) => other !== id);
  const added = (ids: string[]) => [...rest(ids), id].slice(-MAX_MARKS);
  return {
    positive: mark === "positive" ? added(positive) : rest(positive),
    negative: mark === "negative" ? added(negative) : rest(negative),
  };
}

export const NO_MARKS: Marks = { positive: [], negative: [] };
