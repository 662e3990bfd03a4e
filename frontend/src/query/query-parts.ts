import { shortName } from "@/format";
import type { Part, Source } from "@/query/search-state";

/** The weights that a person can choose. */
export const LEVELS = [
  { weight: 2, label: "a lot" },
  { weight: 1, label: "normal" },
  { weight: 0.5, label: "a little" },
  { weight: -0.5, label: "not like this" },
];

/** The sentence in the box, read: addresses of pictures, and the words around them. */
export function readTyped(typed: string): { urls: string[]; words: string } {
  const urls = typed.match(/https?:\/\/[^\s/]\S*/gi) ?? [];
  const words = urls.reduce((text, url) => text.replace(url, " "), typed);
  return { urls, words: words.trim().replace(/\s+/g, " ") };
}

/** The words that the box shows: those of the first text. */
export const wordsOf = (parts: Part[]): string => parts.find((part) => part.kind === "text")?.text ?? "";

/** The query after the box changed: its words, and its pictures if it has URLs. */
export function queryFromText(parts: Part[], typed: string): Part[] {
  const { urls, words } = readTyped(typed);
  const at = parts.findIndex((part) => part.kind === "text");
  const others = parts.filter((part, index) => index !== at && (urls.length === 0 || part.kind === "text"));
  const text: Part[] = words === "" ? [] : [{ kind: "text", text: words, weight: parts[at]?.weight ?? 1 }];
  return [...urls.map((url): Part => ({ kind: "url", url, weight: 1 })), ...others, ...text];
}

/** The query with another picture in place of those that it has; its words stay. */
export const withPicture = (parts: Part[], source: Source): Part[] => [
  { ...source, weight: 1 },
  ...parts.filter((part) => part.kind === "text"),
];

/** The query with an indexed image added to it, for (weight above 0) or against. */
export const withImage = (parts: Part[], id: string, weight: number): Part[] => [
  ...parts.filter((part) => part.kind !== "image" || part.id !== id),
  { kind: "image", id, weight },
];

/** Only against something is no search: whatever is unlike a thing is nothing in particular. */
export const isSearchable = (parts: Part[]): boolean => parts.some(({ weight }) => weight > 0);

/** What to call a part whose name is not the browser's own. */
export function partName(part: Exclude<Part, { kind: "upload" }>): string {
  switch (part.kind) {
    case "image":
      return shortName(part.id);
    case "text":
      return `“${part.text}”`;
    case "url":
      return fileOf(part.url);
  }
}

/** The file name in a URL; the host if there is none. */
export function fileOf(url: string): string {
  const last = URL.canParse(url) ? new URL(url).pathname.split("/").filter(Boolean).at(-1) : undefined;
  if (last === undefined) return hostOf(url);
  try {
    return decodeURIComponent(last);
  } catch {
    // A percent sign that encodes nothing.
    return last;
  }
}

export function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname.replace(/^www\./, "") : url;
}

/** What a query is called, in the title of the page. */
export function queryTitle(parts: Part[]): string {
  const [first] = parts;
  if (!first) return "";
  const words = wordsOf(parts);
  if (words) return words;
  return first.kind === "image" ? `Like ${first.id}` : "Results";
}
