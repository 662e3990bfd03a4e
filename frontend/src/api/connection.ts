import { hashKey, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { unwrap, api } from "@/api/client";
import { Unreachable } from "@/api/problem";
import type { Health } from "@/api/types";

/** Query keys are arrays of anything; their hash is a plain text. */
const HEALTH_HASH = hashKey(["health"]);
const POLL_MS = 10_000;
const POLL_WHILE_DOWN_MS = 1_500;

/** Polls the server's health, more often while it does not answer. */
export function useHealth() {
  return useQuery<Health>({
    queryKey: ["health"],
    queryFn: ({ signal }) => unwrap(api.GET("/api/v1/health", { signal })),
    refetchInterval: (query) => (query.state.status === "error" ? POLL_WHILE_DOWN_MS : POLL_MS),
    retry: false,
    staleTime: 0,
  });
}

/** Whether the server answers. When it comes back, the page refetches everything. */
export function useConnection(onRecovered: () => void): boolean {
  const client = useQueryClient();
  const health = useHealth();
  const lost = health.error instanceof Unreachable;
  const wasLost = useRef(false);

  // If any other query fails, check the health at once.
  useEffect(
    () =>
      client.getQueryCache().subscribe((event) => {
        if (event.type !== "updated" || event.action.type !== "error") return;
        if (event.query.queryHash === HEALTH_HASH || !(event.action.error instanceof Unreachable)) return;
        void client.invalidateQueries({ queryKey: ["health"] });
      }),
    [client],
  );

  useEffect(() => {
    if (wasLost.current && !lost && health.isSuccess) {
      wasLost.current = false;
      void client.invalidateQueries({ predicate: (query) => query.queryHash !== HEALTH_HASH });
      onRecovered();
    } else if (lost) {
      wasLost.current = true;
    }
  }, [client, health.isSuccess, lost, onRecovered]);

  return !lost;
}
