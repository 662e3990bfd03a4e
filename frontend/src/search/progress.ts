import { useEffect, useState } from "react";
import { Problem } from "@/api/problem";
import type { useSearch } from "@/query/use-search";

/** What is over in less is not worth a flicker. */
const NOTICED_MS = 150;

export interface Progress {
  /** Whether the results that are shown are those of another filter, option or weight, and that for a while now. */
  stale: boolean;
  /** What keeps the server from answering, and what the page does about it. */
  note: string | null;
}

/** How far a search is that may show the results of the one before. */
export function useProgress(search: ReturnType<typeof useSearch>): Progress {
  const stale = useLasting(search.isFetching && search.isPlaceholderData, NOTICED_MS);
  return { stale, note: search.isFetching ? noteOf(search.failureReason) : null };
}

/** The message for an error after which the page retries. */
export function noteOf(failure: unknown): string | null {
  if (!(failure instanceof Problem) || failure.status !== 503) return null;
  const seconds = Math.max(1, Math.round(failure.retryAfter ?? 1));
  return `The server is busy. Trying again in ${seconds} s.`;
}

/** True once something has been so for a while, false at once when it is no longer. */
function useLasting(so: boolean, ms: number): boolean {
  const [lasting, setLasting] = useState(false);
  useEffect(() => {
    if (!so) return;
    const timer = setTimeout(() => setLasting(true), ms);
    return () => {
      clearTimeout(timer);
      setLasting(false);
    };
  }, [so, ms]);
  return so && lasting;
}
