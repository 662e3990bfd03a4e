import { useCallback } from "react";
import { useLocation } from "wouter";
import { withPicture } from "@/query/query-parts";
import { searchPath, EMPTY_SEARCH, type Part, parseSearch, type Source } from "@/query/search-state";
import { storeImage } from "@/query/uploaded-images";
import { useToast } from "@/ui/toasts";
import { PATHS } from "@/paths";

/** Keeps an image in this browser, as something to search with. */
export async function storeUpload(file: File): Promise<Source> {
  return { kind: "upload", key: await storeImage(file, file.name || "Pasted image"), indexedCopy: null };
}

/**
 * Starts a search with a file and goes to the page of its results. Words that are searched for stay part of the query;
 * a picture gives way to the new one, unless one asks for both.
 */
export function useSearchWith() {
  const [, navigate] = useLocation();
  const toast = useToast();
  return useCallback(
    async (file: File) => {
      const source = await storeUpload(file);
      const { parts: before, mode } =
        location.pathname === PATHS.search ? parseSearch(location.search) : EMPTY_SEARCH;
      const go = (parts: Part[]) => navigate(searchPath({ ...EMPTY_SEARCH, parts, mode }));
      const after = withPicture(before, source);
      go(after);
      if (after.length <= before.length) {
        toast({
          text: "Image replaced",
          action: { label: "Use both", run: () => go([...before, { ...source, weight: 1 }]) },
        });
      }
    },
    [navigate, toast],
  );
}
