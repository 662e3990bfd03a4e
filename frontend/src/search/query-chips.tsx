import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useObjectUrl } from "@/api/images";
import { useImage } from "@/api/queries";
import type { SearchAnswer } from "@/api/types";
import { AddToCollection } from "@/search/add-to-collection";
import { isSearchable, LEVELS, partName } from "@/query/query-parts";
import { queryImage } from "@/query/use-search";
import type { Part } from "@/query/search-state";
import { IconButton } from "@/ui/button";
import { Icon } from "@/ui/icons";
import { Thumbnail } from "@/ui/picture";

interface Props {
  parts: Part[];
  answer: SearchAnswer | undefined;
  filtered: boolean;
  onChange: (parts: Part[]) => void;
}

/** The parts of a query as chips: what they are, how much each counts, and a way to be rid of it. */
export function QueryChips({ parts, answer, filtered, onChange }: Props) {
  if (parts.every(({ kind }) => kind === "text") && parts.length < 2) return null;
  return (
    <ul
      role="list"
      aria-label="Query parts"
      className="flex flex-wrap items-center gap-2 border-t border-line px-3 py-2.5"
    >
      {parts.map((part, index) => {
        const others = parts.filter((_, at) => at !== index);
        return (
          <QueryChip
            key={index}
            part={part}
            fetched={part.kind === "url" ? answer?.query_previews[part.url] : undefined}
            // If it is alone, or all others only exclude, it cannot exclude too.
            levels={others.length === 0 ? [] : isSearchable(others) ? LEVELS : LEVELS.slice(0, -1)}
            onWeight={(weight) =>
              onChange(parts.map((other, at) => (at === index ? { ...other, weight } : other)))
            }
            onRemove={() => onChange(others)}
          />
        );
      })}
      <AddToCollection parts={parts} hits={answer?.results} filtered={filtered} />
    </ul>
  );
}

interface ChipProps {
  part: Part;
  /** The picture that the server fetched, if the part is a URL. */
  fetched: string | undefined;
  levels: typeof LEVELS;
  onWeight: (weight: number) => void;
  onRemove: () => void;
}

function QueryChip({ part, fetched, levels, onWeight, onRemove }: ChipProps) {
  const upload = useUpload(part);
  const name = part.kind === "upload" ? (upload?.name ?? "Your image") : partName(part);
  const against = part.weight < 0;
  const known = levels.some(({ weight }) => weight === part.weight);
  return (
    <li
      className={`flex h-10 max-w-full items-center gap-1 rounded-full pl-1 text-sm ${
        against ? "bg-danger-soft text-danger" : "bg-sunken"
      }`}
    >
      <span className="relative flex size-8 shrink-0 items-center justify-center overflow-hidden rounded-full bg-surface text-muted">
        <PartPicture part={part} blob={upload?.blob} fetched={fetched} />
      </span>
      <span className="max-w-36 min-w-0 truncate pl-1 font-medium sm:max-w-56" title={name}>
        {name}
      </span>
      {levels.length > 0 && (
        <select
          aria-label={`How much ${name} counts`}
          className={`h-8 rounded-full bg-transparent text-sm ${against ? "" : "text-muted"}`}
          value={part.weight}
          onChange={(event) => onWeight(Number(event.target.value))}
        >
          {!known && <option value={part.weight}>× {part.weight}</option>}
          {levels.map(({ weight, label }) => (
            <option key={weight} value={weight}>
              {label}
            </option>
          ))}
        </select>
      )}
      <IconButton
        icon="close"
        label={`Remove ${name}`}
        className="size-9 text-current hover:bg-line"
        onClick={onRemove}
      />
    </li>
  );
}

function PartPicture({
  part,
  blob,
  fetched,
}: {
  part: Part;
  blob: Blob | undefined;
  fetched: string | undefined;
}) {
  const own = useObjectUrl(blob);
  const [failed, setFailed] = useState<string>();
  switch (part.kind) {
    case "image":
      return <IndexedThumbnail id={part.id} />;
    case "text":
      return <Icon name="text" className="size-4" />;
    case "url":
      return fetched === undefined ? (
        <Icon name="link" className="size-4" />
      ) : (
        <img src={fetched} alt="" className="size-full object-cover" />
      );
    case "upload":
      return own === undefined || own === failed ? (
        <Icon name="image" className="size-4" />
      ) : (
        <img src={own} alt="" className="size-full object-cover" onError={() => setFailed(own)} />
      );
  }
}

/** The thumbnail of an indexed image of which only the id is known. */
export function IndexedThumbnail({ id }: { id: string }) {
  const { data } = useImage(id);
  return data ? <Thumbnail image={data} /> : <Icon name="image" className="size-4" />;
}

/** What this browser has of an uploaded part. */
export function useUpload(part: Part | undefined) {
  const upload = part?.kind === "upload" ? part : null;
  const { data } = useQuery({
    queryKey: ["query-image", upload?.key],
    queryFn: ({ signal }) => queryImage(upload?.key ?? "", upload?.indexedCopy ?? null, signal),
    enabled: upload !== null,
    staleTime: Infinity,
    retry: false,
  });
  return data;
}
