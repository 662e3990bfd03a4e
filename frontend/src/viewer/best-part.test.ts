import { expect, it } from "vitest";
import { bestPart } from "@/viewer/best-part";

it.each([
  [6000, 4000, "JPEG", "preview"],
  [1000, 2000, undefined, "preview"],
  [1440, 1080, "PNG", "file"],
  [500, 400, undefined, "file"],
  [500, 400, "HEIF", "preview"],
  [2000, 900, "GIF", "file"],
] as const)("of %i by %i pixels in %s the viewer loads the %s", (width, height, format, part) => {
  expect(bestPart({ width, height }, format)).toBe(part);
});
