import type { Mode } from "@/query/modes";
import type { Part, SearchState } from "@/query/search-state";

type Asked = Pick<SearchState, "parts" | "positive" | "negative" | "mode">;

/** The modes in which this can be searched for, the best first; `readsText` tells whether the model reads words. */
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
  // Pictures and marks are about looks, of which words alone know nothing.
  if (onlyWords && !marked) modes.push("keywords");
  // Where words are not looked at, what is must not only be against something.
  if (readsText || pictures || (marked && onlyWords)) modes.push("hybrid");
  return modes;
}

/** The mode that is searched in: the chosen one where it can be, or what comes nearest. */
export function effectiveMode(asked: Asked, readsText: boolean): Mode {
  const modes = availableModes(asked, readsText);
  const wishes: (Mode | null)[] = asked.mode === "keywords" ? ["keywords", "hybrid"] : [asked.mode];
  return wishes.find((mode) => mode !== null && modes.includes(mode)) ?? modes[0] ?? "vector";
}

/** What of a query is looked at; the words of the others are looked for in descriptions and tags all the same. */
export function vectorParts(parts: Part[], mode: Mode, readsText: boolean): Part[] {
  if (mode === "keywords") return [];
  return mode === "hybrid" && !readsText ? parts.filter(({ kind }) => kind !== "text") : parts;
}
