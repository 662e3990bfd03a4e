import type { CacheTier, Stats } from "@/api/types";

export interface Sample {
  images: number;
  queue: number;
  waiting: number;
  hits: number;
  lookups: number;
  at: number;
}

export const SAMPLES = 90;

export function sampleOf(stats: Stats, at: number): Sample {
  const { hits, lookups } = totals(stats.cache);
  return {
    images: stats.collection.images,
    queue: stats.queue.depth,
    waiting: stats.jobs?.waiting ?? 0,
    hits,
    lookups,
    at,
  };
}

/** Adds a sample; the oldest go. After a restart of the server its counters begin at 0, and the history begins again. */
export function add(history: Sample[], sample: Sample): Sample[] {
  const last = history.at(-1);
  if (last?.at === sample.at) return history;
  if (last && sample.lookups < last.lookups) return [sample];
  return [...history, sample].slice(-SAMPLES);
}

/** How much a figure grew from sample to sample, per second. */
export function rates(history: Sample[], of: (sample: Sample) => number): number[] {
  return history.slice(1).map((sample, index) => {
    const before = history[index] ?? sample;
    const seconds = Math.max(0.001, (sample.at - before.at) / 1000);
    return Math.max(0, of(sample) - of(before)) / seconds;
  });
}

export interface HitRate {
  hits: number;
  lookups: number;
  /** null if there was no lookup. */
  share: number | null;
}

export function hitRate(tier: CacheTier, kind: string): HitRate {
  const hits = tier.hits[kind] ?? 0;
  const lookups = hits + (tier.misses[kind] ?? 0);
  return { hits, lookups, share: lookups > 0 ? hits / lookups : null };
}

function totals(tiers: CacheTier[]): { hits: number; lookups: number } {
  // What L1 misses is looked for in L2, so lookups are those of the first tier, hits those of all.
  const sum = (counts: Record<string, number>) =>
    Object.values(counts).reduce((total, value) => total + value, 0);
  const [first] = tiers;
  return {
    hits: tiers.reduce((total, tier) => total + sum(tier.hits), 0),
    lookups: first ? sum(first.hits) + sum(first.misses) : 0,
  };
}
