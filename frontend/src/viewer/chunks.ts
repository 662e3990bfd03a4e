/** The parts of the viewer that are files of their own: the page loads each when a person first needs it. */
export const loadViewer = () => import("@/viewer/viewer");
export const loadEditor = () => import("@/viewer/editor");
