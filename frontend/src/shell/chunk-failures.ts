const failures = new WeakSet();

/** Remembers the errors of files that Vite could not load, because browsers word those errors differently. */
export function watchChunks(): void {
  window.addEventListener("vite:preloadError", (event) => failures.add(event.payload));
}

/** Whether an error says that a part of the page could not be loaded. */
export const isChunkFailure = (error: unknown): boolean =>
  typeof error === "object" && error !== null && failures.has(error);

const RELOADED = "reloaded-for-a-chunk";
const ONCE_MS = 60_000;

/** Reloads the page, which brings the present names of its files. Returns false if it did so a moment ago. */
export function reloadOnce(reload: () => void = () => location.reload(), now = Date.now()): boolean {
  try {
    const last = Number(sessionStorage.getItem(RELOADED));
    if (last > 0 && now - last < ONCE_MS) return false;
    sessionStorage.setItem(RELOADED, String(now));
  } catch {
    // Without session storage it could reload for ever.
    return false;
  }
  reload();
  return true;
}
