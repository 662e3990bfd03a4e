import type { Mode } from "@/query/modes";
import type { Part, SearchState } from "@/query/search-state";

type Asked = Pick<SearchState, "parts" | "positive" | "negative" | "mode">;

/** The modes that this query can use, the best first; `readsText` is whether the model reads text. */
export function availableModes(
  { parts, positive, negative }: Omit<Asked, "mode">,
  readsText: boolean,
): Mode[] {
  const hasWords = parts.some(({ kind }) => kind === "text");
  if (!hasWords) return ["vector"];
  const marked = positive.length + negative.length > 0;
  const pictures = parts.some(({ kind, weight }) => kind !== "text" && weight > 0);
  const onlyWords = parts.every(({ kind }) => kind === "text");
  const modes: Mode[] = [];
  if (readsText) modes.push("vector");
  // Pictures and marks need vectors, which keywords alone do not use.
  if (onlyWords && !marked) modes.push("keywords");
  // If the words are no vectors, some other part must be for something.
  if (readsText || pictures || (marked && onlyWords)) modes.push("hybrid");
  return modes;
}

/** The mode to search in: the chosen one if it is available, else the closest to it. */
export function effectiveMode(asked: Asked, readsText: boolean): Mode {
  const modes = availableModes(asked, readsText);
  const wishes: (Mode | null)[] = asked.mode === "keywords" ? ["keywords", "hybrid"] : [asked.mode];
  return wishes.find((mode) => mode !== null && modes.includes(mode)) ?? modes[0] ?? "vector";
}

/** The parts of a query that become vectors; keywords match the words of the others in any case. */
export function vectorParts(parts: Part[], mode: Mode, readsText: boolean): Part[] {
  if (mode === "keywords") return [];
  return mode === "hybrid" && !readsText ? parts.filter(({ kind }) => kind !== "text") : parts;
}
