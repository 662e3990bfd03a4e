import { Problem, Unreachable } from "@/api/problem";

const RETRY_MS = 2000;

/** How many ms to wait before a retry of the same request; null if a retry would not help. */
export function retryDelay(error: unknown): number | null {
  if (error instanceof Unreachable) return RETRY_MS;
  if (error instanceof Problem && (error.status === 429 || error.status === 503)) {
    return error.retryAfter === null ? RETRY_MS : error.retryAfter * 1000;
  }
  if (error instanceof Problem && error.status === 401) return RETRY_MS;
  return null;
}
