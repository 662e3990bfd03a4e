import type { Json, Metadata } from "@/api/types";

/** What turns `before` into `after` as a JSON Merge Patch (RFC 7396): null removes, what is not named stays. */
export function mergePatch(before: Metadata, after: Metadata): Metadata {
  const patch: Metadata = {};
  for (const name of Object.keys(before)) if (!(name in after)) patch[name] = null;
  for (const [name, value] of Object.entries(after)) {
    const old = before[name];
    if (JSON.stringify(old) === JSON.stringify(value)) continue;
    patch[name] = isObject(old) && isObject(value) ? mergePatch(old, value) : value;
  }
  return patch;
}

const isObject = (value: Json | undefined): value is Metadata =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A value as one edits it: text as it is, everything else as JSON; text that would pass for JSON in quotes. */
export function writeValue(value: Json): string {
  if (typeof value === "string" && typeof readValue(value) === "string" && readValue(value) === value)
    return value;
  return JSON.stringify(value);
}

export function readValue(text: string): Json {
  const trimmed = text.trim();
  if (trimmed === "yes") return true;
  if (trimmed === "no") return false;
  try {
    return JSON.parse(trimmed) as Json;
  } catch {
    return text;
  }
}
