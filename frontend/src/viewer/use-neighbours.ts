import { useState } from "react";
import type { Picture } from "@/api/types";

interface Neighbours<T> {
  previous: T | undefined;
  next: T | undefined;
}

/**
 * The pictures before and after the one with an id. If it has left the pictures, as a marked image does, its former index
 * `place` (-1 for none) decides between which two of the others it is.
 */
export function neighboursOf<T extends Picture>(
  pictures: T[],
  id: string | null,
  place: number,
): Neighbours<T> {
  const index = pictures.findIndex(({ image_id }) => image_id === id);
  const before = index >= 0 ? index : place;
  const after = index >= 0 ? index + 1 : place;
  return {
    previous: before > 0 ? pictures[Math.min(before, pictures.length) - 1] : undefined,
    next: after >= 0 ? pictures[after] : undefined,
  };
}

/** The neighbours of the image in the viewer, also once it has left the pictures. */
export function useNeighbours<T extends Picture>(pictures: T[], id: string | null): Neighbours<T> {
  const index = pictures.findIndex(({ image_id }) => image_id === id);
  const [place, setPlace] = useState(index);
  if (index >= 0 && index !== place) setPlace(index);
  return neighboursOf(pictures, id, place);
}
