import { expect, it } from "vitest";
import type { Facet } from "@/api/types";
import { groupings, readStep, groupTitle } from "@/query/grouping";

const facet = (field: string, kind: Facet["kind"], counts: number[], more: Partial<Facet> = {}): Facet => ({
  field,
  kind,
  images: counts.reduce((sum, count) => sum + count, 0),
  values: counts.map((count, index) => ({ value: kind === "number" ? index : `${field}-${index}`, count })),
  more_values: false,
  min: null,
  max: null,
  exact: true,
  ...more,
});

it("only fields whose values repeat are offered to group by", () => {
  const offered = groupings([
    facet("place", "text", [40, 12, 1]),
    facet("year", "number", [5, 4, 3]),
    facet("price", "number", [3, 3, 2], { more_values: true }),
    facet("serial", "text", [1, 1, 1], { more_values: true }),
    facet("taken", "time", [9, 9]),
    facet("description", "text", [9, 9]),
    facet("nested", "text", []),
  ]);
  expect(offered).toEqual([
    { field: "place", step: null },
    { field: "year", step: null },
  ]);
});

it("numbers and times whose values do not repeat are offered in ranges", () => {
  const measured = (min: number, max: number) =>
    facet("price", "number", [1, 1], { more_values: true, min, max });
  const taken = (min: string, max: string) => facet("taken", "time", [], { min, max });
  const stepOf = (one: Facet) => groupings([one])[0]?.step;
  expect(stepOf(measured(3, 290))).toBe(50);
  expect(stepOf(measured(0, 1))).toBe(0.2);
  expect(stepOf(measured(-7, 1_000_000))).toBe(200_000);
  expect(stepOf(measured(5, 5))).toBeUndefined();
  expect(stepOf(taken("2026-01-01T00:00:00Z", "2026-01-20T00:00:00Z"))).toBe("day");
  expect(stepOf(taken("2025-01-01T00:00:00Z", "2026-01-20T00:00:00Z"))).toBe("month");
  expect(stepOf(taken("1999-01-01T00:00:00Z", "2026-01-20T00:00:00Z"))).toBe("year");
});

it("a group is called by its value, or by its range", () => {
  expect(groupTitle({ field: "place", step: null }, "Lisbon")).toBe("Lisbon");
  expect(groupTitle({ field: "sold", step: null }, false)).toBe("sold: no");
  expect(groupTitle({ field: "price", step: 50 }, 1000)).toBe("1000 – 1050");
  expect(groupTitle({ field: "price", step: 5000 }, 10_000)).toBe("10,000 – 15,000");
  expect(groupTitle({ field: "price", step: 0.1 }, 0.2)).toBe("0.2 – 0.3");
  expect(groupTitle({ field: "taken", step: "month" }, "2026-11")).toBe("November 2026");
  expect(groupTitle({ field: "taken", step: "day" }, "2026-11-27")).toBe("27 November 2026");
  expect(groupTitle({ field: "taken", step: "year" }, "2026")).toBe("2026");
});

it("a step is read out of the address if it is one", () => {
  expect([null, "", "0", "-1", "NaN", "Infinity", "week"].map(readStep)).toEqual(Array(7).fill(null));
  expect(["50", "0.5", "month"].map(readStep)).toEqual([50, 0.5, "month"]);
});
