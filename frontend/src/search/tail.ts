import type { Hit } from "@/api/types";

/** Below this confidence a hit is wrong five times out of six. */
const LIKELY = 1 / 6;
/** So many are shown whatever they are: one of them may be meant, and an empty page helps no one. */
const AT_LEAST = 4;
/** A shorter tail is not worth a fold. */
const SHORTEST_TAIL = 3;

/**
 * How many of the hits, best first, to show before the fold: all but the tail of those that are probably not what was
 * meant. Hits without a confidence are never folded.
 */
export function likelyCount(hits: Pick<Hit, "confidence">[]): number {
  // By hand: a browser of 2021 has no findLastIndex.
  let shown = hits.length;
  while (shown > AT_LEAST && (hits[shown - 1]?.confidence ?? 1) < LIKELY) shown -= 1;
  return hits.length - shown >= SHORTEST_TAIL ? shown : hits.length;
}
