import type { Mode } from "@/query/modes";
import type { Part, SearchState } from "@/query/search-state";

type Asked = Pick<SearchState, "parts" | "liked" | "disliked" | "mode">;

/** The modes in which this can be searched for, the best first; `readsText` tells whether the model reads words. */
export function modesFor({ parts, liked, disliked }: Omit<Asked, "mode">, readsText: boolean): Mode[] {
  const hasWords = parts.some(({ kind }) => kind === "text");
  if (!hasWords) return ["look"];
  const marked = liked.length + disliked.length > 0;
  const pictures = parts.some(({ kind, weight }) => kind !== "text" && weight > 0);
  const onlyWords = parts.every(({ kind }) => kind === "text");
  const modes: Mode[] = [];
  if (readsText) modes.push("look");
  // Pictures and marks are about looks, of which words alone know nothing.
  if (onlyWords && !marked) modes.push("words");
  // Where words are not looked at, what is must not only be against something.
  if (readsText || pictures || (marked && onlyWords)) modes.push("both");
  return modes;
}

/** The mode that is searched in: the chosen one where it can be, or what comes nearest. */
export function modeOf(asked: Asked, readsText: boolean): Mode {
  const modes = modesFor(asked, readsText);
  const wishes: (Mode | null)[] = asked.mode === "words" ? ["words", "both"] : [asked.mode];
  return wishes.find((mode) => mode !== null && modes.includes(mode)) ?? modes[0] ?? "look";
}

/** What of a query is looked at; the words of the others are looked for in descriptions and tags all the same. */
export function seenParts(parts: Part[], mode: Mode, readsText: boolean): Part[] {
  if (mode === "words") return [];
  return mode === "both" && !readsText ? parts.filter(({ kind }) => kind !== "text") : parts;
}
