import { score } from "@/format";
import type { Mode, Strategy } from "@/query/modes";

/** What scores are, and how one is written and read out. */
export interface ScoreScale {
  name: string;
  title: string;
  spoken: string;
  write: (value: number) => string;
}

const MODES: Record<Mode, ScoreScale> = {
  vector: {
    name: "Similarity",
    title: "Cosine similarity: 1 is the same image",
    spoken: "score",
    write: score,
  },
  keywords: {
    name: "Text match",
    title: "BM25: how well the words match",
    spoken: "text match",
    write: score,
  },
  hybrid: {
    name: "Combined",
    title: "Reciprocal rank fusion of appearance and text",
    spoken: "combined score",
    write: (value) => value.toFixed(3),
  },
};

const NEAREST: ScoreScale = {
  name: "Closest example",
  title: "Only an order: above 0 closest to the query or an image you like, below 0 to one you don't",
  spoken: "score",
  write: score,
};

/** The scale of a mode; in vector mode `best_score` has a scale of its own. */
export const scoreScale = (mode: Mode, strategy: Strategy | null): ScoreScale =>
  mode === "vector" && strategy === "best_score" ? NEAREST : MODES[mode];
