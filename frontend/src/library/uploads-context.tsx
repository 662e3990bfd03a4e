import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useState, useSyncExternalStore } from "react";
import { followJob } from "@/api/events";
import { unwrap, api } from "@/api/client";
import { Problem } from "@/api/problem";
import { sendBatch } from "@/api/uploads";
import type { Snapshot } from "@/library/upload";
import { UploadQueue } from "@/library/upload-queue";

const Uploads = createContext<UploadQueue | null>(null);

export function useUploads(): UploadQueue {
  const queue = useContext(Uploads);
  if (!queue) throw new Error("There is no UploadsProvider around this.");
  return queue;
}

export function useUploadProgress(): Snapshot {
  const queue = useUploads();
  return useSyncExternalStore(queue.subscribe, queue.snapshot);
}

async function shaOf(name: string, signal: AbortSignal): Promise<string | null> {
  try {
    const params = { path: { image_id: name } };
    return (await unwrap(api.GET("/api/v1/images/{image_id}", { params, signal }))).sha256;
  } catch (error) {
    // A name that no image can have is refused with the file, in the server's own words.
    if (error instanceof Problem && [404, 422].includes(error.status)) return null;
    throw error;
  }
}

/** Uploads belong to the app, not to a page: they go on while one looks at other pages. */
export function UploadsProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [queue] = useState(
    () =>
      new UploadQueue({
        send: sendBatch,
        follow: followJob,
        lookUp: shaOf,
        cancel: (jobId) =>
          unwrap(api.DELETE("/api/v1/jobs/{job_id}", { params: { path: { job_id: jobId } } })).then(
            () => undefined,
          ),
        onIndexed: () => {
          for (const name of ["library", "stats", "facets", "search", "jobs"]) {
            void client.invalidateQueries({ queryKey: [name] });
          }
        },
      }),
  );
  const { active } = useSyncExternalStore(queue.subscribe, queue.snapshot);
  useEffect(() => {
    if (!active) return;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, [active]);
  return <Uploads.Provider value={queue}>{children}</Uploads.Provider>;
}
