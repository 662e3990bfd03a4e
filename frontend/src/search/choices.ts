/** What images are ranked by: how they look, the words of their descriptions and tags, or both. */
export const MODES = ["look", "words", "both"] as const;
export type Mode = (typeof MODES)[number];

export const isMode = (value: string | null): value is Mode => MODES.some((mode) => mode === value);

/** What the API calls them. */
export const API_MODES = { look: "vector", words: "keywords", both: "hybrid" } as const;
