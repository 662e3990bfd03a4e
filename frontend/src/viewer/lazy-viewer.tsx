import { lazy, Suspense } from "react";
import { chunks } from "@/chunks";
import { useViewed } from "@/query/use-search-state";
import type { Props } from "@/viewer/viewer";

const Viewer = lazy(chunks.viewer);

/** The viewer, loaded when the first image is opened. */
export function LazyViewer(props: Props) {
  const { viewed } = useViewed();
  return <Suspense fallback={null}>{viewed !== null && <Viewer {...props} />}</Suspense>;
}
