import { STRATEGIES, type Strategy } from "@/query/modes";
import { effectiveMode, vectorParts } from "@/query/search-mode";
import type { SearchState } from "@/query/search-state";

type Asked = Pick<SearchState, "parts" | "positive" | "negative" | "mode">;

/** Strategies that need a positive vector; the others work with negative examples alone. */
const FROM_SOMETHING: readonly Strategy[] = ["average", "relevance_feedback"];

/** The strategies that this query can use, the best first; `readsText` is whether the model reads text. */
export function availableStrategies(asked: Asked, readsText: boolean): Strategy[] {
  const seen = vectorParts(asked.parts, effectiveMode(asked, readsText), readsText);
  const start = asked.positive.length + seen.length > 0;
  return STRATEGIES.filter((strategy) => start || !FROM_SOMETHING.includes(strategy));
}

/** The strategy to search with: the chosen one if it is available, else sum_scores; null if nothing is marked. */
export function effectiveStrategy(
  asked: Asked & Pick<SearchState, "strategy">,
  readsText: boolean,
): Strategy | null {
  if (asked.positive.length + asked.negative.length === 0) return null;
  return availableStrategies(asked, readsText).includes(asked.strategy) ? asked.strategy : "sum_scores";
}

/** Whether a strategy supports diversity, which needs distances to one vector; best_score has none. */
export const supportsDiversity = (strategy: Strategy | null): boolean => strategy !== "best_score";
