/** Pictures to search with, made small before they are sent: the model looks at a few hundred pixels only. */

/** Below this sending a picture takes less time than making it smaller. */
const LIGHT_BYTES = 256 * 1024;
/** Longest side in pixels. A photograph of this size has a cosine of 0.9992 to itself in full, and 100 kB. */
const SIDE = 1024;
const QUALITY = 0.9;

export interface Size {
  width: number;
  height: number;
}

/** The size with its proportions and no side longer than `side`; never enlarged, no side below 1. */
export function fitted({ width, height }: Size, side: number): Size {
  const scale = Math.min(1, side / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** How a browser makes a picture smaller: upright, on white, as JPEG. Throws for what it cannot decode. */
export type Redraw = (blob: Blob, sizeOf: (full: Size) => Size) => Promise<Blob | null>;

/** Small copies, for as long as the picture itself is in use, because every change of a weight or filter sends it again. */
const copies = new WeakMap<Blob, Promise<Blob>>();

/** What to send of a query picture: a small copy, or the picture itself if the copy is not smaller. */
export function shrinkImage(blob: Blob, redraw: Redraw = redrawn): Promise<Blob> {
  if (blob.size <= LIGHT_BYTES) return Promise.resolve(blob);
  let copy = copies.get(blob);
  if (!copy) copies.set(blob, (copy = smaller(blob, redraw)));
  return copy;
}

async function smaller(blob: Blob, redraw: Redraw): Promise<Blob> {
  try {
    const copy = await redraw(blob, (full) => fitted(full, SIDE));
    return copy && copy.size > 0 && copy.size < blob.size ? copy : blob;
  } catch {
    // The browser cannot decode it (HEIC, TIFF, too large, damaged). The server may, and says so if it cannot.
    return blob;
  }
}

async function redrawn(blob: Blob, sizeOf: (full: Size) => Size): Promise<Blob | null> {
  // As the server decodes: upright, and pixels as they are whatever colour profile comes with them.
  const picture = await createImageBitmap(blob, {
    imageOrientation: "from-image",
    colorSpaceConversion: "none",
  });
  try {
    const { width, height } = sizeOf(picture);
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const pen = canvas.getContext("2d");
    if (!pen) return null;
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, width, height);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(picture, 0, 0, width, height);
    return await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
  } finally {
    picture.close();
  }
}
