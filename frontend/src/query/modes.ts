/** What images are ranked by: how they look, the words of their descriptions and tags, or both. */
export const MODES = ["look", "words", "both"] as const;
export type Mode = (typeof MODES)[number];

export const isMode = (value: string | null): value is Mode => MODES.some((mode) => mode === value);

/** What the API calls them. */
export const API_MODES = { look: "vector", words: "keywords", both: "hybrid" } as const;

/** How marks shape the ranking, the one that helps most first (docs/QUALITY-LAB.md). */
export const STRATEGIES = ["blend", "nudge", "nearest", "tally"] as const;
export type Strategy = (typeof STRATEGIES)[number];

export const isStrategy = (value: string | null): value is Strategy =>
  STRATEGIES.some((strategy) => strategy === value);

/** What the API calls them. */
export const API_STRATEGIES = {
  blend: "average",
  nudge: "relevance_feedback",
  nearest: "best_score",
  tally: "sum_scores",
} as const;
