import type { SearchOptions } from "@/api/types";

/** By what images are ranked: the pictures, the words of their descriptions and tags, or both. */
export const MODES = ["vector", "keywords", "hybrid"] as const satisfies SearchOptions["mode"][];
export type Mode = (typeof MODES)[number];

/** How marks shape the ranking, the strategy that helps most first (docs/QUALITY-LAB.md). */
export const STRATEGIES = [
  "average",
  "relevance_feedback",
  "best_score",
  "sum_scores",
] as const satisfies SearchOptions["strategy"][];
export type Strategy = (typeof STRATEGIES)[number];
