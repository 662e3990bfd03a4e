import { type ReactNode, useState } from "react";
import { useObjectUrl } from "@/api/images";
import { useImage } from "@/api/queries";
import { bytes } from "@/format";
import { useUpload } from "@/search/parts-tray";
import type { Part } from "@/search/state";
import { Icon } from "@/ui/icons";
import { Thumbnail } from "@/ui/picture";

/** The picture that is searched with, large, where there is room for it beside the results. */
export function QueryPreview({ parts }: { parts: Part[] }) {
  const part = parts.find(({ kind }) => kind === "image" || kind === "upload");
  if (!part) return null;
  return (
    <div className="card p-4 max-lg:hidden">
      {part.kind === "image" ? <Indexed id={part.id} /> : <Own part={part} />}
    </div>
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
        <img
          src={url}
          alt="What is searched with"
          className="size-full object-contain"
          onError={() => setFailed(url)}
        />
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
