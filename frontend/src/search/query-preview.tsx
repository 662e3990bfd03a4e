import { type ReactNode, useState } from "react";
import { useObjectUrl } from "@/api/images";
import { useImage } from "@/api/queries";
import { bytes } from "@/format";
import { fileOf, hostOf } from "@/query/query-parts";
import { useUpload } from "@/search/query-chips";
import type { Part } from "@/query/search-state";
import { Icon } from "@/ui/icons";
import { Thumbnail } from "@/ui/picture";

/** The query picture, large, if there is room beside the results. */
export function QueryPreview({
  parts,
  fetched,
}: {
  parts: Part[];
  /** What the server has fetched, by its address. */
  fetched: Record<string, string> | undefined;
}) {
  const part = parts.find(({ kind }) => kind !== "text");
  if (!part) return null;
  return (
    <div className="card p-4 max-lg:hidden">
      {part.kind === "image" ? (
        <Indexed id={part.id} />
      ) : part.kind === "url" ? (
        <Fetched url={part.url} picture={fetched?.[part.url]} />
      ) : (
        <Own part={part} />
      )}
    </div>
  );
}

function Fetched({ url, picture }: { url: string; picture: string | undefined }) {
  return (
    <Preview title={fileOf(url)} line={`From ${hostOf(url)}`}>
      {picture === undefined ? (
        <Icon name="link" className="size-8 text-muted" />
      ) : (
        <img src={picture} alt="Query" className="size-full object-contain" />
      )}
    </Preview>
  );
}

function Own({ part }: { part: Part }) {
  const data = useUpload(part);
  const url = useObjectUrl(data?.blob);
  const [failed, setFailed] = useState<string>();
  return (
    <Preview
      title={data?.name ?? "Your image"}
      line={data ? `Your image, ${bytes(data.blob.size)}` : "Your image"}
    >
      {url !== undefined && failed !== url ? (
        <img src={url} alt="Query" className="size-full object-contain" onError={() => setFailed(url)} />
      ) : (
        <Icon name="image" className="size-8 text-muted" />
      )}
    </Preview>
  );
}

function Indexed({ id }: { id: string }) {
  const { data } = useImage(id);
  return (
    <Preview title={id} line="More like this one">
      {data && <Thumbnail image={data} eager />}
    </Preview>
  );
}

function Preview({ title, line, children }: { title: string; line: string; children: ReactNode }) {
  return (
    <>
      <div
        data-testid="query-preview"
        className="relative flex aspect-[16/9] w-full items-center justify-center overflow-hidden rounded-2xl bg-sunken"
      >
        {children}
      </div>
      <p className="mt-3 truncate font-medium" title={title}>
        {title}
      </p>
      <p className="text-sm text-muted">{line}</p>
    </>
  );
}
