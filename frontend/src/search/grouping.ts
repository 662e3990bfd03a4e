import type { Facet } from "@/api/types";

/** Fields by which results can be grouped: those whose values repeat. An id or a price would make groups of one. */
export const groupable = (fields: Facet[]): Facet[] => fields.filter(repeats);

function repeats({ field, kind, values, more_values: more }: Facet): boolean {
  if (kind === "time" || field === "description" || values.length === 0) return false;
  // A number of more values than the server lists is a measurement.
  if (kind === "number" && more) return false;
  const images = values.reduce((sum, { count }) => sum + count, 0);
  return images >= 2 * values.length;
}
