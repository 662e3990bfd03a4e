import { loadEditor, loadViewer } from "@/viewer/chunks";

/** The parts of the page that a first visit does not need, each a file of its own. */
export const chunks = {
  library: () => import("@/library/page"),
  status: () => import("@/status/page"),
  job: () => import("@/status/job-page"),
  viewer: loadViewer,
  editor: loadEditor,
  key: () => import("@/shell/key-dialog"),
};

/** Loads all parts while the browser is idle, so that they are there if the server stops answering. */
export function prefetchChunks(): void {
  const whenIdle =
    typeof requestIdleCallback === "function"
      ? requestIdleCallback
      : (run: () => void) => setTimeout(run, 2000);
  whenIdle(() => {
    // A part that fails now is loaded again when a person needs it, and then the page shows the failure.
    for (const load of Object.values(chunks)) void load().catch(() => undefined);
  });
}
