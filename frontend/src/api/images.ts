import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { fetchRaw } from "@/api/client";
import { useApiKey } from "@/api/key";
import type { Picture } from "@/api/types";

type Part = "file" | "thumbnail" | "preview";

/** The address of an image's bytes. With the sha256 in it a browser keeps them and never asks again. */
export function imageUrl(part: Part, image: Pick<Picture, "image_id"> & { sha256?: string }): string {
  const version = image.sha256 ? `?v=${image.sha256}` : "";
  return `/api/v1/images/${encodeURIComponent(image.image_id)}/${part}${version}`;
}

/**
 * What to give an <img> as its source. An <img> cannot send a key, so if the server requires one, the page fetches the
 * bytes and passes them as a blob.
 */
export function useImageSource(url: string | null): string | undefined {
  const key = useApiKey();
  const { data } = useQuery({
    queryKey: ["blob", url],
    queryFn: async ({ signal }) => (await fetchRaw(url ?? "", { signal })).blob(),
    enabled: key !== null && url !== null,
    staleTime: Infinity,
    gcTime: 60_000,
  });
  const blobUrl = useObjectUrl(data);
  return key === null ? (url ?? undefined) : blobUrl;
}

/** An address for a blob that lives as long as the component. */
export function useObjectUrl(blob: Blob | null | undefined): string | undefined {
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    if (!blob) {
      setUrl(undefined);
      return;
    }
    const made = URL.createObjectURL(blob);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  return url;
}

/** Saves the original under its name; by a blob, so that it works with a key as well. */
export async function download(image: Picture): Promise<void> {
  const blob = await (await fetchRaw(imageUrl("file", image))).blob();
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = image.image_id.split("/").at(-1) ?? image.image_id;
  link.click();
  URL.revokeObjectURL(url);
}
