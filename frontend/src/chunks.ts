/** The parts of the page that a first visit does not need, each a file of its own. */
export const chunks = {
  library: () => import("@/library/page"),
  status: () => import("@/status/page"),
  job: () => import("@/status/job-page"),
  viewer: () => import("@/viewer/viewer"),
  editor: () => import("@/viewer/editor"),
  key: () => import("@/shell/key-dialog"),
};

const failures = new WeakSet();

/** Remembers what Vite tells of a file that cannot be loaded, because browsers word that error differently. */
export function watchChunks(): void {
  window.addEventListener("vite:preloadError", (event) => failures.add(event.payload));
}

/** Whether an error says that a part of the page could not be loaded. */
export const isChunkFailure = (error: unknown): boolean =>
  typeof error === "object" && error !== null && failures.has(error);

/** Loads all parts while the browser has nothing else to do, so that they are there when the server is not. */
export function prefetchChunks(): void {
  const whenIdle =
    typeof requestIdleCallback === "function"
      ? requestIdleCallback
      : (run: () => void) => setTimeout(run, 2000);
  whenIdle(() => {
    // A part that fails now is loaded when somebody wants it, and then its failure is shown.
    for (const load of Object.values(chunks)) void load().catch(() => undefined);
  });
}

const RELOADED = "reloaded-for-a-chunk";
const ONCE_MS = 60_000;

/** Loads the page anew, which brings the present names of its files. Returns false if that was tried a moment ago. */
export function reloadOnce(reload: () => void = () => location.reload(), now = Date.now()): boolean {
  try {
    const last = Number(sessionStorage.getItem(RELOADED));
    if (last > 0 && now - last < ONCE_MS) return false;
    sessionStorage.setItem(RELOADED, String(now));
  } catch {
    // Without a memory it could go on for ever.
    return false;
  }
  reload();
  return true;
}
