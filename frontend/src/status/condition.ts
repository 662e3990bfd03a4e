import type { Health, Stats } from "@/api/types";

export interface Condition {
  tone: "good" | "warn" | "bad";
  text: string;
}

const OF_HEALTH: Record<Health["status"], Condition> = {
  healthy: { tone: "good", text: "All systems normal" },
  degraded: { tone: "bad", text: "Degraded" },
  unhealthy: { tone: "bad", text: "Unhealthy" },
};

/** The server's condition in two words. Another model than the configured one is a warning. */
export function conditionOf(
  health: Health | undefined,
  silent: boolean,
  model: Pick<Stats["model"], "fallback_reason">,
): Condition {
  if (silent) return { tone: "bad", text: "Not responding" };
  if (!health) return { tone: "warn", text: "Checking" };
  const condition = OF_HEALTH[health.status];
  if (condition.tone === "good" && model.fallback_reason) return { tone: "warn", text: "Stand-in model" };
  return condition;
}
