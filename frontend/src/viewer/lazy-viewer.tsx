import { lazy, Suspense } from "react";
import { loadViewer } from "@/viewer/chunks";
import { useViewed } from "@/query/use-search-state";
import type { Props } from "@/viewer/viewer";

const Viewer = lazy(loadViewer);

/** The viewer, loaded when the first image is opened. */
export function LazyViewer(props: Props) {
  const { viewed } = useViewed();
  return <Suspense fallback={null}>{viewed !== null && <Viewer {...props} />}</Suspense>;
}
