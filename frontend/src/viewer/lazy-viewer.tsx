import { lazy, Suspense } from "react";
import type { Picture } from "@/api/types";
import { useViewed } from "@/search/address";
import type { Mode } from "@/search/choices";

const Viewer = lazy(() => import("@/viewer/viewer"));

interface Props {
  pictures: (Picture & { score?: number })[];
  /** What the scores are. */
  mode?: Mode;
}

/** The viewer, loaded when the first image is opened. */
export function LazyViewer({ pictures, mode = "look" }: Props) {
  const { viewed } = useViewed();
  return <Suspense fallback={null}>{viewed !== null && <Viewer pictures={pictures} mode={mode} />}</Suspense>;
}
