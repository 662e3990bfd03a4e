import type { Facet, Hit } from "@/api/types";

const PERIODS = ["day", "month", "year"] as const;

/** How wide a group is if it is not one value: a range of numbers, or a part of the calendar. */
export type Step = number | (typeof PERIODS)[number];

export interface Grouping {
  field: string;
  /** null if each value is a group. */
  step: Step | null;
}

/** About so many ranges are made of the values of a field. */
const RANGES = 6;
const DAY_MS = 86_400_000;

/**
 * By what results can be grouped: fields whose values repeat by their values; other numbers and times by ranges.
 * An id would make groups of one.
 */
export const groupings = (fields: Facet[]): Grouping[] =>
  fields.flatMap((facet): Grouping[] => {
    if (repeats(facet)) return [{ field: facet.field, step: null }];
    const step = stepOf(facet);
    return step === null ? [] : [{ field: facet.field, step }];
  });

function repeats({ field, kind, values, more_values: more }: Facet): boolean {
  if (kind === "time" || field === "description" || values.length === 0) return false;
  // A number of more values than the server lists is a measurement.
  if (kind === "number" && more) return false;
  const images = values.reduce((sum, { count }) => sum + count, 0);
  return images >= 2 * values.length;
}

/** Returns a step that makes a handful of groups; null if there is nothing to divide. */
function stepOf({ kind, min, max }: Facet): Step | null {
  if (kind === "number" && typeof min === "number" && typeof max === "number")
    return max > min ? round(max - min) : null;
  if (kind !== "time" || typeof min !== "string" || typeof max !== "string") return null;
  const days = (Date.parse(max) - Date.parse(min)) / DAY_MS;
  if (!(days > 0)) return null;
  return days > 3 * 365 ? "year" : days > 45 ? "month" : "day";
}

/** Returns 1, 2 or 5 times a power of ten, so that a span has about RANGES of it. */
function round(span: number): number {
  const wanted = span / RANGES;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const factor = [1, 2, 5, 10].find((one) => one * power >= wanted) ?? 10;
  return Number((factor * power).toPrecision(1));
}

/** Reads a step out of the address; null for what is none. */
export function readStep(text: string | null): Step | null {
  const period = PERIODS.find((one) => one === text);
  const width = Number(text);
  return period ?? (text !== null && width > 0 && Number.isFinite(width) ? width : null);
}

/** Returns what a group is called: the value that its images share, or the range of it. */
export function groupTitle({ field, step }: Grouping, value: Hit["group"]): string {
  if (typeof value === "boolean") return `${field}: ${value ? "yes" : "no"}`;
  if (typeof step === "number" && typeof value === "number") {
    return `${number(value)} – ${number(value + step)}`;
  }
  return step === "month" || step === "day" ? date(String(value), step) : String(value);
}

/** With commas from 10,000 on, because 2,026 would be no year. */
const number = (value: number) =>
  new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 12, useGrouping: "min2" }).format(value);

const date = (iso: string, step: "month" | "day") =>
  new Intl.DateTimeFormat("en-GB", {
    timeZone: "UTC",
    year: "numeric",
    month: "long",
    ...(step === "day" && { day: "numeric" }),
  }).format(new Date(iso));
