import { type InfiniteData, useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";
import { unwrap, api } from "@/api/client";
import { errorText } from "@/api/problem";
import type { ImagePage, SearchAnswer } from "@/api/types";
import { shortName } from "@/format";
import { useToast } from "@/ui/toasts";

/** How long the page offers to undo. The server may forget the image earlier (UNDO_SECONDS). */
const UNDO_TOAST_MS = 10_000;

/** Deletes an image at once, takes it out of everything shown, and offers to bring it back. */
export function useDeleteImage() {
  const client = useQueryClient();
  const toast = useToast();

  return useCallback(
    (id: string) => {
      const params = { path: { image_id: id } };
      const refresh = (...names: string[]) => {
        for (const name of names) void client.invalidateQueries({ queryKey: [name] });
      };
      const restore = async () => {
        try {
          await unwrap(api.POST("/api/v1/images/{image_id}/restore", { params }));
          toast({ text: `Restored ${shortName(id)}` });
        } catch (error) {
          toast({ text: errorText(error), icon: "warning" });
        }
        refresh("library", "stats", "facets", "search");
      };
      const remove = async () => {
        try {
          const { restorable_until } = await unwrap(api.DELETE("/api/v1/images/{image_id}", { params }));
          client.setQueriesData<SearchAnswer>(
            { queryKey: ["search"] },
            (answer) => answer && without(answer, id),
          );
          client.setQueryData<InfiniteData<ImagePage>>(
            ["library", "all"],
            (data) => data && withoutInPages(data, id),
          );
          client.removeQueries({ queryKey: ["image", id] });
          const offer = { action: { label: "Undo", run: () => void restore() }, ms: UNDO_TOAST_MS };
          toast({ text: `Deleted ${shortName(id)}`, icon: "trash", ...(restorable_until !== null && offer) });
          refresh("stats", "facets");
          void client.invalidateQueries({ queryKey: ["library", "newest"] });
        } catch (error) {
          toast({ text: errorText(error), icon: "warning" });
        }
      };
      void remove();
    },
    [client, toast],
  );
}

const without = (answer: SearchAnswer, id: string): SearchAnswer => ({
  ...answer,
  results: answer.results
    .filter(({ image_id }) => image_id !== id)
    .map((hit) => ({ ...hit, duplicates: hit.duplicates.filter((other) => other !== id) })),
});

const withoutInPages = (data: InfiniteData<ImagePage>, id: string): InfiniteData<ImagePage> => ({
  ...data,
  pages: data.pages.map((page) => ({
    ...page,
    images: page.images.filter(({ image_id }) => image_id !== id),
  })),
});
