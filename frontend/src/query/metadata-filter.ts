import type { Json } from "@/api/types";

/** One line of the filter builder. All lines must hold. */
export type Rule =
  | { field: string; test: "any"; values: Scalar[] }
  | { field: string; test: "between"; from: number | string | null; to: number | string | null }
  | { field: string; test: "there" | "missing" };

export type Scalar = string | number | boolean;

/** The rules in the API's filter language; null if they demand nothing yet. */
export function toFilter(rules: Rule[]): Record<string, Json> | null {
  const conditions = rules.flatMap((rule) => {
    const condition = toCondition(rule);
    return condition === null ? [] : [{ [rule.field]: condition }];
  });
  if (conditions.length === 0) return null;
  return conditions.length === 1 ? (conditions[0] ?? null) : { and: conditions };
}

function toCondition(rule: Rule): Json {
  switch (rule.test) {
    case "any":
      return rule.values.length > 0 ? { in: rule.values } : null;
    case "between": {
      const range: Record<string, Json> = {};
      if (rule.from !== null) range["gte"] = rule.from;
      if (rule.to !== null) range["lte"] = rule.to;
      return Object.keys(range).length > 0 ? range : null;
    }
    case "there":
      return { exists: true };
    case "missing":
      return { exists: false };
  }
}

export const writeRules = (rules: Rule[]): string => JSON.stringify(rules);

/** Reads rules that came with an address, which anybody may have written. */
export function readRules(text: string | null): Rule[] {
  if (text === null) return [];
  try {
    const given: unknown = JSON.parse(text);
    return Array.isArray(given) ? given.flatMap(readRule) : [];
  } catch {
    return [];
  }
}

function readRule(given: unknown): Rule[] {
  if (typeof given !== "object" || given === null) return [];
  const { field, test, values, from, to } = given as Record<string, unknown>;
  if (typeof field !== "string" || field === "") return [];
  if (test === "any" && Array.isArray(values)) return [{ field, test, values: values.filter(isScalar) }];
  if (test === "between") return [{ field, test, from: bound(from), to: bound(to) }];
  if (test === "there" || test === "missing") return [{ field, test }];
  return [];
}

const isScalar = (value: unknown): value is Scalar => ["string", "number", "boolean"].includes(typeof value);
const bound = (value: unknown): number | string | null =>
  typeof value === "number" || (typeof value === "string" && value !== "") ? value : null;

export interface Range {
  from: number | string | null;
  to: number | string | null;
  /** Whether the ends were entered in the other order. */
  turned: boolean;
}

/** What was entered in two boxes, lower end first whichever box it is in. Of two days both are meant as a whole. */
export function readRange(from: string, to: string, isTime: boolean): Range {
  const [first, last] = isTime ? [from, to] : [readNumber(from), readNumber(to)];
  // Days are written so that their order is that of the text.
  const turned = first !== null && last !== null && first !== "" && last !== "" && first > last;
  const [low, high] = turned ? [last, first] : [first, last];
  if (!isTime) return { from: low, to: high, turned };
  return { from: low ? `${low}T00:00:00Z` : null, to: high ? `${high}T23:59:59Z` : null, turned };
}

function readNumber(text: string): number | null {
  const value = text.trim() === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : null;
}

/** An end of a range as a box shows it. */
export const showBound = (value: number | string | null, isTime: boolean): string =>
  value === null ? "" : isTime ? String(value).slice(0, 10) : String(value);

/** A rule in plain words. */
export function describeRule(rule: Rule): string {
  switch (rule.test) {
    case "any":
      return rule.values.length > 0 ? `${rule.field}: ${rule.values.join(" or ")}` : `${rule.field}: any`;
    case "between":
      if (rule.from !== null && rule.to !== null) return `${rule.field}: ${rule.from} to ${rule.to}`;
      if (rule.from !== null) return `${rule.field}: from ${rule.from}`;
      return rule.to === null ? `${rule.field}: any` : `${rule.field}: up to ${rule.to}`;
    case "there":
      return `${rule.field}: present`;
    case "missing":
      return `${rule.field}: missing`;
  }
}
