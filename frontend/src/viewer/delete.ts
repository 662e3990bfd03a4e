import { type InfiniteData, useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";
import { fetchRaw } from "@/api/client";
import { textOf } from "@/api/problem";
import type { ImagePage, SearchAnswer } from "@/api/types";
import { shortName } from "@/format";
import { useToast } from "@/shell/toasts";

/** How long the offer to undo stays; the server keeps deleted images for longer (UNDO_SECONDS). */
const OFFER_MS = 10_000;

/** Deletes an image at once, takes it out of everything shown, and offers to bring it back. */
export function useDelete() {
  const client = useQueryClient();
  const toast = useToast();

  return useCallback(
    (id: string) => {
      const url = `/api/v1/images/${encodeURIComponent(id)}`;
      const refresh = (...names: string[]) => {
        for (const name of names) void client.invalidateQueries({ queryKey: [name] });
      };
      const restore = async () => {
        try {
          await fetchRaw(`${url}/restore`, { method: "POST" });
          toast({ text: `${shortName(id)} is back` });
        } catch (error) {
          toast({ text: textOf(error), icon: "warning" });
        }
        refresh("library", "stats", "facets", "search");
      };
      const remove = async () => {
        try {
          await fetchRaw(url, { method: "DELETE" });
          client.setQueriesData<SearchAnswer>(
            { queryKey: ["search"] },
            (answer) => answer && without(answer, id),
          );
          client.setQueryData<InfiniteData<ImagePage>>(
            ["library", "all"],
            (data) => data && withoutInPages(data, id),
          );
          client.removeQueries({ queryKey: ["image", id] });
          toast({
            text: `Deleted ${shortName(id)}`,
            icon: "trash",
            action: { label: "Undo", run: () => void restore() },
            ms: OFFER_MS,
          });
          refresh("stats", "facets");
          void client.invalidateQueries({ queryKey: ["library", "newest"] });
        } catch (error) {
          toast({ text: textOf(error), icon: "warning" });
        }
      };
      void remove();
    },
    [client, toast],
  );
}

const without = (answer: SearchAnswer, id: string): SearchAnswer => ({
  ...answer,
  results: answer.results.filter(({ image_id }) => image_id !== id),
});

const withoutInPages = (data: InfiniteData<ImagePage>, id: string): InfiniteData<ImagePage> => ({
  ...data,
  pages: data.pages.map((page) => ({
    ...page,
    images: page.images.filter(({ image_id }) => image_id !== id),
  })),
});
