import type { CacheTier } from "@/api/types";
import { bytes, count, percent, plural } from "@/format";
import { hitRate } from "@/status/history";

/** How full one tier of the cache is, and how often what was looked up was there. */
export function CacheUse({ tier }: { tier: CacheTier }) {
  return (
    <div>
      <p className="flex flex-wrap items-baseline justify-between gap-x-4 text-sm">
        <span className="font-medium">
          {tier.tier === "l1" ? "In this process" : tier.tier === "l2" ? "Redis, shared" : tier.tier}
        </span>
        <span className="text-muted tabular-nums">
          {tier.entries !== null && plural(tier.entries, "entry", "entries")}
          {tier.bytes !== null && `, ${bytes(tier.bytes)}`}
          {tier.breaker !== null && tier.breaker !== "closed" && "not responding"}
        </span>
      </p>
      {["embedding", "result"].map((kind) => {
        const { hits, lookups, share } = hitRate(tier, kind);
        return (
          <div key={kind} className="mt-2.5">
            <p className="mb-1 flex justify-between text-sm text-muted">
              <span>{kind === "embedding" ? "Embeddings" : "Results"}</span>
              <span className="tabular-nums">
                {share === null
                  ? "no lookups yet"
                  : `${percent(share)} hits, ${count(hits)} of ${count(lookups)}`}
              </span>
            </p>
            <div className="h-1.5 overflow-hidden rounded-full bg-line">
              <div
                className="h-full rounded-full bg-gradient-to-r from-accent to-warm"
                style={{ width: `${(share ?? 0) * 100}%` }}
              />
            </div>
          </div>
        );
      })}
    </div>
  );
}
