import { lazy, Suspense } from "react";
import type { Picture } from "@/api/types";
import { useViewed } from "@/search/address";
import type { Scale } from "@/search/scale";

const Viewer = lazy(() => import("@/viewer/viewer"));

interface Props {
  pictures: (Picture & { score?: number })[];
  /** What the scores are, where there are any. */
  scale?: Scale;
}

/** The viewer, loaded when the first image is opened. */
export function LazyViewer(props: Props) {
  const { viewed } = useViewed();
  return <Suspense fallback={null}>{viewed !== null && <Viewer {...props} />}</Suspense>;
}
