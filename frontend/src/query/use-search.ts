import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { unwrap, api, asBinary, asForm, fetchRaw } from "@/api/client";
import { imageUrl } from "@/api/images";
import { Problem } from "@/api/problem";
import type { SearchAnswer, SearchOptions } from "@/api/types";
import { type Mode, type Strategy } from "@/query/modes";
import { toFilter } from "@/query/metadata-filter";
import { effectiveMode, vectorParts } from "@/query/search-mode";
import { isSearchable } from "@/query/query-parts";
import { shrinkImage } from "@/query/shrink-image";
import { COUNT_RANGE, type Part, type SearchState } from "@/query/search-state";
import { loadImage, storeImage, type StoredQuery } from "@/query/uploaded-images";
import { supportsDiversity, effectiveStrategy } from "@/query/strategy";

/** The link names an image that only another browser has. */
export class MissingQueryImage extends Error {
  override name = "QueryLost";

  constructor() {
    super(
      "The picture is not in the library, so only the browser that searched with it has it. " +
        "Drop the picture here to search with it again.",
    );
  }
}

/** The bytes of an uploaded query: from this browser, or from the indexed image that has the same. */
export async function queryImage(
  key: string,
  indexedCopy: string | null,
  signal?: AbortSignal,
): Promise<StoredQuery> {
  const stored = await loadImage(key);
  if (stored) return stored;
  if (indexedCopy === null) throw new MissingQueryImage();
  try {
    const response = await fetchRaw(imageUrl("file", { image_id: indexedCopy }), signal ? { signal } : {});
    const blob = await response.blob();
    const name = indexedCopy.split("/").at(-1) ?? indexedCopy;
    // The copy may have been replaced by another image meanwhile.
    if ((await storeImage(blob, name)) !== key) throw new MissingQueryImage();
    return { blob, name, usedAt: Date.now() };
  } catch (error) {
    throw error instanceof Problem && error.status === 404 ? new MissingQueryImage() : error;
  }
}

/**
 * Searches once for as much as the page can show; the sliders then choose from that without asking again. A filter does
 * ask again: what it lets through may lie far beyond what was fetched. Whether the
 * model reads text is undefined until it is known; it matters only if the query has words.
 */
export function useSearch(state: SearchState, readsText: boolean | undefined) {
  const { parts } = state;
  const known = readsText !== undefined || parts.every(({ kind }) => kind !== "text");
  const mode = effectiveMode(state, readsText ?? true);
  const seen = vectorParts(parts, mode, readsText ?? true);
  const options = searchOptions(state, mode, effectiveStrategy(state, readsText ?? true));
  const what = [mode, ...queryIdentity(parts)];
  return useQuery<SearchAnswer>({
    queryKey: ["search", what, parts.map(({ weight }) => weight), options],
    queryFn: ({ signal }) => sendSearch(seen, options, signal),
    enabled: known && isSearchable(parts),
    // While an option, a weight or a mark changes the results stay; those of another query would be a lie.
    placeholderData: (previous, last) =>
      JSON.stringify(last?.queryKey[1]) === JSON.stringify(what) ? keepPreviousData(previous) : undefined,
    staleTime: 5 * 60_000,
  });
}

/** Most images of a group. */
const GROUP_SIZE = 12;

/** All of a request but what is searched with. */
function searchOptions(state: SearchState, mode: Mode, strategy: Strategy | null): SearchOptions {
  const {
    parts,
    rules,
    positive,
    negative,
    autoThreshold,
    diversity,
    collapseDuplicates,
    groupBy,
    groupStep,
  } = state;
  const filter = toFilter(rules);
  const words = parts.flatMap((part) => (part.kind === "text" && part.weight > 0 ? [part.text] : []));
  return {
    top_k: COUNT_RANGE.max,
    ...(mode !== "vector" && { mode, keywords: words.join(" ") }),
    ...(filter && { filter }),
    // What follows from looks alone.
    ...(mode === "vector" && autoThreshold && { threshold: "auto" }),
    ...(mode === "vector" && diversity > 0 && supportsDiversity(strategy) && { diversity }),
    ...(collapseDuplicates && { collapse_duplicates: true }),
    ...(groupBy !== null && {
      group_by: groupBy,
      group_size: GROUP_SIZE,
      ...(groupStep !== null && { group_step: groupStep }),
    }),
    ...(positive.length > 0 && { positive }),
    ...(negative.length > 0 && { negative }),
    // The browser itself asks foreign addresses for nothing.
    ...(parts.some(({ kind }) => kind === "url") && { query_previews: true }),
    ...(strategy !== null && { strategy }),
  };
}

/** What makes a query another one: neither how much each part counts, nor which indexed image is the same. */
const queryIdentity = (parts: Part[]) =>
  parts.map((part) =>
    part.kind === "upload"
      ? part.key
      : part.kind === "image"
        ? { id: part.id }
        : part.kind === "text"
          ? { text: part.text }
          : { url: part.url },
  );

async function sendSearch(parts: Part[], options: SearchOptions, signal: AbortSignal): Promise<SearchAnswer> {
  const uploads = parts.filter((part) => part.kind === "upload");
  const [file] = uploads;
  if (file && uploads.length === 1 && file.weight === 1) {
    // As a file: a third less to send than in JSON.
    const image = await queryBytes(file, signal);
    const others = parts.filter((part) => part !== file);
    const query = others.length > 0 && {
      query: await Promise.all(others.map((part) => asJson(part, signal))),
    };
    return unwrap(
      api.POST("/api/v1/search", {
        body: { image: asBinary(image), ...query, ...options },
        bodySerializer: asForm,
        signal,
      }),
    );
  }
  const query = await Promise.all(parts.map((part) => asJson(part, signal)));
  return unwrap(api.POST("/api/v1/search", { body: { query, ...options }, signal }));
}

/** An uploaded part as it is sent. Its indexed copy is found by the hash of the whole file, which is in the address. */
async function queryBytes(
  { key, indexedCopy }: { key: string; indexedCopy: string | null },
  signal: AbortSignal,
): Promise<Blob> {
  return shrinkImage((await queryImage(key, indexedCopy, signal)).blob);
}

async function asJson(part: Part, signal: AbortSignal) {
  const { weight } = part;
  switch (part.kind) {
    case "upload":
      return { image_data: await dataUrl(await queryBytes(part, signal)), weight };
    case "image":
      return { image_id: part.id, weight };
    case "text":
      return { text: part.text, weight };
    case "url":
      return { image_url: part.url, weight };
  }
}

function dataUrl(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result as string);
    reader.onerror = () => reject(reader.error ?? new Error("The image cannot be read."));
    reader.readAsDataURL(blob);
  });
}
