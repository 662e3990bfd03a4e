import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { answer, api, asBinary, asForm, fetchRaw } from "@/api/client";
import { imageUrl } from "@/api/images";
import { Problem } from "@/api/problem";
import type { SearchAnswer } from "@/api/types";
import { type Rule, toFilter } from "@/search/filter";
import { COUNTS, type Query } from "@/search/state";
import { load, store, type StoredQuery } from "@/search/stored";

/** The link names an image that only another browser has. */
export class QueryLost extends Error {
  override name = "QueryLost";

  constructor() {
    super(
      "This link was made with an image that is not in the collection, so only the browser that searched with it " +
        "has it. Drop that image here to search with it again.",
    );
  }
}

/** The bytes of an uploaded query: from this browser, or from the indexed image that has the same. */
export async function queryImage(
  key: string,
  twin: string | null,
  signal?: AbortSignal,
): Promise<StoredQuery> {
  const stored = await load(key);
  if (stored) return stored;
  if (twin === null) throw new QueryLost();
  try {
    const response = await fetchRaw(imageUrl("file", { image_id: twin }), signal ? { signal } : {});
    const blob = await response.blob();
    const name = twin.split("/").at(-1) ?? twin;
    // The twin may have been replaced by another image meanwhile.
    if ((await store(blob, name)) !== key) throw new QueryLost();
    return { blob, name, usedAt: Date.now() };
  } catch (error) {
    throw error instanceof Problem && error.status === 404 ? new QueryLost() : error;
  }
}

/**
 * Searches once for as much as the page can show; the sliders then choose from that without asking again. A filter does
 * ask again: what it lets through may lie far beyond what was fetched.
 */
export function useSearch(query: Query | null, rules: Rule[]) {
  const filter = toFilter(rules);
  return useQuery<SearchAnswer>({
    queryKey: ["search", keyOf(query), filter],
    queryFn: ({ signal }) => {
      if (query === null) throw new Error("There is nothing to search with.");
      return run(query, filter, signal);
    },
    enabled: query !== null,
    // While a filter changes the results stay; those of another query would be a lie.
    placeholderData: (previous, last) =>
      JSON.stringify(last?.queryKey[1]) === JSON.stringify(keyOf(query))
        ? keepPreviousData(previous)
        : undefined,
    staleTime: 5 * 60_000,
  });
}

const keyOf = (query: Query | null) => query && (query.kind === "upload" ? query.key : { id: query.id });

async function run(
  query: Query,
  filter: Record<string, unknown> | null,
  signal: AbortSignal,
): Promise<SearchAnswer> {
  const wanted = { top_k: COUNTS.max, ...(filter && { filter }) };
  switch (query.kind) {
    case "upload": {
      const { blob } = await queryImage(query.key, query.twin, signal);
      return answer(
        api.POST("/api/v1/search", {
          body: { image: asBinary(blob), ...wanted },
          bodySerializer: asForm,
          signal,
        }),
      );
    }
    case "image":
      return answer(
        api.POST("/api/v1/images/{image_id}/similar", {
          params: { path: { image_id: query.id } },
          body: wanted,
          signal,
        }),
      );
  }
}
