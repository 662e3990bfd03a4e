import type { Picture } from "@/api/types";

/** The server's previews have no longer side. */
const PREVIEW_SIDE = 1440;
/** Formats that no browser, or only some, can show. */
const UNSHOWN = ["HEIF", "TIFF"];

/**
 * What to load of an image to look at it: the preview of a large one, which has a twentieth of its bytes, and of what
 * browsers cannot show. A GIF may move, which its preview does not. The format is undefined until the server has answered.
 */
export function bestPart(
  { width, height }: Pick<Picture, "width" | "height">,
  format?: string,
): "file" | "preview" {
  if (format === "GIF") return "file";
  if (format !== undefined && UNSHOWN.includes(format)) return "preview";
  return Math.max(width, height) > PREVIEW_SIDE ? "preview" : "file";
}
