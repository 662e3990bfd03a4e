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
    name: "Cosine",
    title: "Cosine similarity: 1 is the same image",
    spoken: "score",
    write: score,
  },
  keywords: { name: "BM25", title: "BM25: how well the words match", spoken: "BM25", write: score },
  hybrid: {
    name: "Rank fusion",
    title: "Reciprocal rank fusion of looks and words",
    spoken: "Rank fusion",
    write: (value) => value.toFixed(3),
  },
};

const NEAREST: ScoreScale = {
  name: "Nearest",
  title: "Only an order: above 0 nearest to what is searched for or liked, below 0 to what is not liked",
  spoken: "score",
  write: score,
};

/** Those of a mode; a strategy has scores of its own where looks alone decide. */
export const scoreScale = (mode: Mode, strategy: Strategy | null): ScoreScale =>
  mode === "vector" && strategy === "best_score" ? NEAREST : MODES[mode];
