import { expect, it } from "vitest";
import type { Facet } from "@/api/types";
import { groupable } from "@/search/grouping";

const facet = (field: string, kind: Facet["kind"], counts: number[], more = false): Facet => ({
  field,
  kind,
  images: counts.reduce((sum, count) => sum + count, 0),
  values: counts.map((count, index) => ({ value: kind === "number" ? index : `${field}-${index}`, count })),
  more_values: more,
  min: null,
  max: null,
  exact: true,
});

it("only fields whose values repeat are offered to group by", () => {
  const offered = groupable([
    facet("place", "text", [40, 12, 1]),
    facet("year", "number", [5, 4, 3]),
    facet("price", "number", [3, 3, 2], true),
    facet("serial", "text", [1, 1, 1], true),
    facet("taken", "time", [9, 9]),
    facet("description", "text", [9, 9]),
    facet("nested", "text", []),
  ]);
  expect(offered.map(({ field }) => field)).toEqual(["place", "year"]);
});
