import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { answer, api, asBinary, asForm } from "@/api/client";
import { useObjectUrl } from "@/api/images";
import { Problem, textOf } from "@/api/problem";
import { useImage } from "@/api/queries";
import type { Hit } from "@/api/types";
import { bytes } from "@/format";
import { queryImage } from "@/search/run";
import { PickButtons } from "@/search/start";
import type { Query } from "@/search/state";
import { useToast } from "@/shell/toasts";
import { Button } from "@/ui/button";
import { Icon } from "@/ui/icons";
import { Thumbnail } from "@/ui/picture";

interface Props {
  query: Query;
  hits: Hit[] | undefined;
  filtered: boolean;
}

/** What is being searched with: always in sight, with what can be done with it. */
export function QueryCard({ query, hits, filtered }: Props) {
  // By a filter it may only be hidden.
  const indexed =
    query.kind === "image" || query.twin !== null || (hits?.some((hit) => hit.sha256 === query.key) ?? false);
  return (
    <div className="card p-3 sm:p-4">
      <div className="flex gap-4 lg:block">
        {query.kind === "upload" ? <OwnImage query={query} /> : <IndexedImage id={query.id} />}
      </div>
      <div className="mt-3 flex flex-wrap gap-2 lg:mt-4">
        <PickButtons compact />
        <CopyLink shareable={indexed} />
        {query.kind === "upload" && hits && !indexed && !filtered && <AddToCollection query={query} />}
      </div>
    </div>
  );
}

function OwnImage({ query }: { query: Extract<Query, { kind: "upload" }> }) {
  const { data } = useQuery({
    queryKey: ["query-image", query.key],
    queryFn: ({ signal }) => queryImage(query.key, query.twin, signal),
    staleTime: Infinity,
    retry: false,
  });
  const url = useObjectUrl(data?.blob);
  return (
    <Preview
      title={data?.name ?? "Your image"}
      line={data ? `Your image, ${bytes(data.blob.size)}` : "Your image"}
      url={url}
    />
  );
}

function IndexedImage({ id }: { id: string }) {
  const { data } = useImage(id);
  return (
    <>
      <Frame>{data && <Thumbnail image={data} eager />}</Frame>
      <Caption title={id} line="More like this one" />
    </>
  );
}

function Preview({ title, line, url }: { title: string; line: string; url: string | undefined }) {
  const [failed, setFailed] = useState<string>();
  return (
    <>
      <Frame>
        {url !== undefined && failed !== url ? (
          <img
            src={url}
            alt="What is searched with"
            className="size-full object-contain"
            onError={() => setFailed(url)}
          />
        ) : (
          <Icon name="image" className="size-8 text-muted" />
        )}
      </Frame>
      <Caption title={title} line={line} />
    </>
  );
}

function Frame({ children }: { children: React.ReactNode }) {
  return (
    <div
      data-testid="query-preview"
      className="relative flex size-20 shrink-0 items-center justify-center overflow-hidden rounded-2xl bg-sunken lg:aspect-[4/3] lg:h-auto lg:w-full"
    >
      {children}
    </div>
  );
}

function Caption({ title, line }: { title: string; line: string }) {
  return (
    <div className="min-w-0 flex-1 self-center lg:mt-3">
      <p className="truncate font-medium" title={title}>
        {title}
      </p>
      <p className="text-sm text-muted">{line}</p>
      <Link
        href="/"
        className="mt-1 inline-block rounded text-sm font-medium text-accent underline-offset-4 hover:underline"
      >
        New search
      </Link>
    </div>
  );
}

function CopyLink({ shareable }: { shareable: boolean }) {
  const toast = useToast();
  return (
    <Button
      icon="link"
      onClick={() => {
        void navigator.clipboard.writeText(location.href).then(
          () =>
            toast({
              text: shareable
                ? "Link copied"
                : "Copied. It works in this browser only, until the image is in the collection",
            }),
          () =>
            toast({
              text: "The browser does not let us copy; the link is in the address bar",
              icon: "warning",
            }),
        );
      }}
    >
      Copy link
    </Button>
  );
}

function AddToCollection({ query }: { query: Extract<Query, { kind: "upload" }> }) {
  const client = useQueryClient();
  const toast = useToast();
  const [, navigate] = useLocation();
  const [busy, setBusy] = useState(false);
  const add = async () => {
    setBusy(true);
    try {
      const { blob, name } = await queryImage(query.key, query.twin);
      const imageId = await freeName(name, query.key);
      await answer(
        api.POST("/api/v1/index", {
          body: { image: asBinary(blob), image_id: imageId },
          bodySerializer: asForm,
        }),
      );
      for (const key of ["search", "stats", "library"]) void client.invalidateQueries({ queryKey: [key] });
      toast({
        text: `Added as ${imageId}`,
        action: { label: "Show", run: () => navigate(`/library?view=${encodeURIComponent(imageId)}`) },
      });
    } catch (error) {
      toast({ text: textOf(error), icon: "warning" });
    }
    setBusy(false);
  };
  return (
    <Button icon="plus" disabled={busy} onClick={() => void add()}>
      Add to the collection
    </Button>
  );
}

/** The file's name where no other image has it; else with a piece of the hash, so that nothing is replaced. */
async function freeName(name: string, key: string): Promise<string> {
  try {
    await answer(api.GET("/api/v1/images/{image_id}", { params: { path: { image_id: name } } }));
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return name;
    throw error;
  }
  const dot = name.lastIndexOf(".");
  const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
  return `${stem}-${key.slice(0, 8)}${extension}`;
}
