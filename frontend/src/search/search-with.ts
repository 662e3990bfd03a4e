import { useCallback } from "react";
import { useLocation } from "wouter";
import { COUNTS, format } from "@/search/state";
import { store } from "@/search/stored";

/** Starts a search with a file: keeps it in this browser, and goes to the page of its results. */
export function useSearchWith() {
  const [, navigate] = useLocation();
  return useCallback(
    async (file: File) => {
      const key = await store(file, file.name || "Pasted image");
      const query = { kind: "upload", key, twin: null } as const;
      navigate(`/${format({ query, count: COUNTS.start, least: 0, rules: [] })}`);
    },
    [navigate],
  );
}
