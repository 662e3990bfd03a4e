import { STRATEGIES, type Strategy } from "@/query/modes";
import { modeOf, seenParts } from "@/query/search-mode";
import type { SearchState } from "@/query/search-state";

type Asked = Pick<SearchState, "parts" | "liked" | "disliked" | "mode">;

/** What needs something to start from; the others do with what is not liked alone. */
const FROM_SOMETHING: readonly Strategy[] = ["blend", "nudge"];

/** The strategies that can be searched with, the best first; `readsText` tells whether the model reads words. */
export function strategiesFor(asked: Asked, readsText: boolean): Strategy[] {
  const seen = seenParts(asked.parts, modeOf(asked, readsText), readsText);
  const start = asked.liked.length + seen.length > 0;
  return STRATEGIES.filter((strategy) => start || !FROM_SOMETHING.includes(strategy));
}

/** The strategy that is searched with: the chosen one where it can be, else adding up; null where nothing is marked. */
export function strategyOf(
  asked: Asked & Pick<SearchState, "strategy">,
  readsText: boolean,
): Strategy | null {
  if (asked.liked.length + asked.disliked.length === 0) return null;
  return strategiesFor(asked, readsText).includes(asked.strategy) ? asked.strategy : "tally";
}

/** Whether results can be told to be unlike each other: that takes distances to one thing, which one strategy lacks. */
export const canVary = (strategy: Strategy | null): boolean => strategy !== "nearest";
