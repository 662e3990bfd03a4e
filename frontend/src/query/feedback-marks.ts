import { MAX_MARKS, type SearchState } from "@/query/search-state";

/** What somebody says of a result: more like this, or not like this. */
export type Mark = "up" | "down";

/** How results are marked. */
export interface Marking {
  markOf: (id: string) => Mark | null;
  onMark: (id: string, mark: Mark | null) => void;
}

/** The keys that say it. */
export const MARK_KEYS: Readonly<Record<string, Mark>> = { "+": "up", "-": "down" };

/** What an image's mark becomes when one says it: the same once more takes it back. */
export const toggled = (before: Mark | null, said: Mark): Mark | null => (before === said ? null : said);

type Marks = Pick<SearchState, "liked" | "disliked">;

export function markOf({ liked, disliked }: Marks, id: string): Mark | null {
  if (liked.includes(id)) return "up";
  return disliked.includes(id) ? "down" : null;
}

/** The marks after one more; null takes back what was said of the image. The oldest give way to too many. */
export function withMark({ liked, disliked }: Marks, id: string, mark: Mark | null): Marks {
  const rest = (ids: string[]) => ids.filter((other) => other !== id);
  const added = (ids: string[]) => [...rest(ids), id].slice(-MAX_MARKS);
  return {
    liked: mark === "up" ? added(liked) : rest(liked),
    disliked: mark === "down" ? added(disliked) : rest(disliked),
  };
}

export const NO_MARKS: Marks = { liked: [], disliked: [] };
