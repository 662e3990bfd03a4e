import type { Json } from "@/api/types";

/** An image's metadata to read. */
export function MetadataTable({ metadata }: { metadata: Record<string, unknown> | undefined }) {
  const fields = Object.entries(metadata ?? {});
  if (metadata && fields.length === 0)
    return <p className="text-sm text-muted">No metadata yet. Add fields to filter by them.</p>;
  return (
    <dl className="divide-y divide-line text-sm">
      {fields.map(([name, value]) => (
        <div key={name} className="flex gap-4 py-2">
          <dt className="w-28 shrink-0 wrap-anywhere text-muted">{name}</dt>
          <dd className="min-w-0 flex-1 wrap-anywhere">
            <Value value={value as Json} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Value({ value }: { value: Json }) {
  if (value === null) return <span className="text-muted">nothing</span>;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value) && value.every((item) => typeof item !== "object")) {
    return (
      <span className="flex flex-wrap gap-1">
        {value.map((item, index) => (
          <span key={index} className="rounded-full bg-sunken px-2.5 py-0.5">
            {String(item)}
          </span>
        ))}
      </span>
    );
  }
  if (typeof value === "object") return <code className="font-mono text-xs">{JSON.stringify(value)}</code>;
  return String(value);
}
