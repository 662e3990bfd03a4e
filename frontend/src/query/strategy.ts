import { STRATEGIES, type Strategy } from "@/query/modes";
import { effectiveMode, vectorParts } from "@/query/search-mode";
import type { SearchState } from "@/query/search-state";

type Asked = Pick<SearchState, "parts" | "positive" | "negative" | "mode">;

/** What needs something to start from; the others do with what is not liked alone. */
const FROM_SOMETHING: readonly Strategy[] = ["average", "relevance_feedback"];

/** The strategies that can be searched with, the best first; `readsText` tells whether the model reads words. */
export function availableStrategies(asked: Asked, readsText: boolean): Strategy[] {
  const seen = vectorParts(asked.parts, effectiveMode(asked, readsText), readsText);
  const start = asked.positive.length + seen.length > 0;
  return STRATEGIES.filter((strategy) => start || !FROM_SOMETHING.includes(strategy));
}

/** The strategy that is searched with: the chosen one where it can be, else adding up; null where nothing is marked. */
export function effectiveStrategy(
  asked: Asked & Pick<SearchState, "strategy">,
  readsText: boolean,
): Strategy | null {
  if (asked.positive.length + asked.negative.length === 0) return null;
  return availableStrategies(asked, readsText).includes(asked.strategy) ? asked.strategy : "sum_scores";
}

/** Whether results can be told to be unlike each other: that takes distances to one thing, which one strategy lacks. */
export const supportsDiversity = (strategy: Strategy | null): boolean => strategy !== "best_score";
