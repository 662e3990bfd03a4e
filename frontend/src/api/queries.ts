import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { unwrap, api } from "@/api/client";
import type { Facets, ImageDocument, ImagePage, Stats, UploadDocument, UploadList } from "@/api/types";

export const PAGE_SIZE = 200;
/** Of a bulk job, that are shown at once. */
export const FAILURES = 50;

/** Queries that several pages share, each with the key that invalidates it. */
export function useStats(refetchInterval: number | false = false) {
  return useQuery<Stats>({
    queryKey: ["stats"],
    queryFn: ({ signal }) => unwrap(api.GET("/api/v1/stats", { signal })),
    refetchInterval,
  });
}

export function useFacets(enabled: boolean) {
  return useQuery<Facets>({
    queryKey: ["facets"],
    queryFn: ({ signal }) => unwrap(api.GET("/api/v1/facets", { params: { query: { values: 30 } }, signal })),
    enabled,
    staleTime: 60_000,
  });
}

export function useImage(id: string | null) {
  return useQuery<ImageDocument>({
    queryKey: ["image", id],
    queryFn: ({ signal }) =>
      unwrap(api.GET("/api/v1/images/{image_id}", { params: { path: { image_id: id ?? "" } }, signal })),
    enabled: id !== null,
    staleTime: 60_000,
  });
}

export function useLibrary() {
  return useInfiniteQuery({
    queryKey: ["library", "all"],
    queryFn: ({ pageParam, signal }): Promise<ImagePage> =>
      unwrap(
        api.GET("/api/v1/images", {
          params: { query: { limit: PAGE_SIZE, ...(pageParam !== null && { cursor: pageParam }) } },
          signal,
        }),
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
  });
}

/** The newest few, to begin a search with. */
export function useNewest(limit: number) {
  return useQuery<ImagePage>({
    queryKey: ["library", "newest", limit],
    queryFn: ({ signal }) => unwrap(api.GET("/api/v1/images", { params: { query: { limit } }, signal })),
  });
}

/** The latest bulk jobs; those that one upload came in are one. */
export function useJobs(refetchInterval: number) {
  return useQuery<UploadList>({
    queryKey: ["jobs"],
    queryFn: ({ signal }) => unwrap(api.GET("/api/v1/uploads", { params: { query: { limit: 5 } }, signal })),
    refetchInterval,
  });
}

/** The progress of an upload, with one page of its failures; polled until it has ended. */
export function useJob(upload: string, offset: number, refetchInterval: number) {
  return useQuery<UploadDocument>({
    queryKey: ["jobs", upload, offset],
    queryFn: ({ signal }) =>
      unwrap(
        api.GET("/api/v1/uploads/{upload}", {
          params: { path: { upload }, query: { offset, limit: FAILURES } },
          signal,
        }),
      ),
    refetchInterval: ({ state }) => (state.data?.finished_at === null ? refetchInterval : false),
    placeholderData: keepPreviousData,
  });
}
