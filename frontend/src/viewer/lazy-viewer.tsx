import { lazy, Suspense } from "react";
import type { Picture } from "@/api/types";
import { useViewed } from "@/search/address";

const Viewer = lazy(() => import("@/viewer/viewer"));

/** The viewer, loaded when the first image is opened. */
export function LazyViewer({ pictures }: { pictures: (Picture & { score?: number })[] }) {
  const { viewed } = useViewed();
  return <Suspense fallback={null}>{viewed !== null && <Viewer pictures={pictures} />}</Suspense>;
}
