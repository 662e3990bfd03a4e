import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import { unwrap, api, asBinary, asForm } from "@/api/client";
import { Problem, errorText } from "@/api/problem";
import type { Hit } from "@/api/types";
import { nameWithDigest } from "@/image-names";
import { queryImage } from "@/query/use-search";
import type { Part } from "@/query/search-state";
import { useToast } from "@/ui/toasts";
import { Button } from "@/ui/button";
import { libraryImagePath } from "@/paths";

interface Props {
  parts: Part[];
  hits: Hit[] | undefined;
  filtered: boolean;
}

/** Offers to keep an image that is searched with and is not in the collection; by a filter it may only be hidden. */
export function AddToCollection({ parts, hits, filtered }: Props) {
  const part = parts.find((one) => one.kind === "upload" && one.indexedCopy === null);
  if (part?.kind !== "upload" || !hits || filtered) return null;
  if (hits.some((hit) => hit.sha256 === part.key)) return null;
  return (
    <li>
      <Add uploadKey={part.key} />
    </li>
  );
}

function Add({ uploadKey }: { uploadKey: string }) {
  const client = useQueryClient();
  const toast = useToast();
  const [, navigate] = useLocation();
  const [busy, setBusy] = useState(false);
  const add = async () => {
    setBusy(true);
    try {
      const { blob, name } = await queryImage(uploadKey, null);
      const imageId = await freeName(name, blob);
      await unwrap(
        api.POST("/api/v1/index", {
          body: { image: asBinary(blob), image_id: imageId },
          bodySerializer: asForm,
        }),
      );
      for (const key of ["search", "stats", "library"]) void client.invalidateQueries({ queryKey: [key] });
      toast({
        text: `Added as ${imageId}`,
        action: { label: "Show", run: () => navigate(libraryImagePath(imageId)) },
      });
    } catch (error) {
      toast({ text: errorText(error), icon: "warning" });
    }
    setBusy(false);
  };
  return (
    <Button variant="quiet" icon="plus" disabled={busy} onClick={() => void add()}>
      Add to library
    </Button>
  );
}

/** The file's name if no image has it; else with a part of the hash, so that no image is replaced. */
async function freeName(name: string, bytes: Blob): Promise<string> {
  try {
    await unwrap(api.GET("/api/v1/images/{image_id}", { params: { path: { image_id: name } } }));
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return name;
    throw error;
  }
  return nameWithDigest(name, bytes);
}
