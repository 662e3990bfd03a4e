import type { ReactNode } from "react";
import { shortName } from "@/format";
import type { Mark } from "@/query/feedback-marks";
import { IndexedThumbnail } from "@/search/query-chips";
import { Icon } from "@/ui/icons";

interface Props {
  positive: string[];
  negative: string[];
  onUndo: (id: string) => void;
  onClear: () => void;
  /** How they count. */
  children: ReactNode;
}

/** What was marked, always in sight: the results leave it out, since it is no longer to be found. */
export function MarksStrip({ positive, negative, onUndo, onClear, children }: Props) {
  if (positive.length + negative.length === 0) return null;
  return (
    <section
      aria-label="Marked images"
      className="-my-1 flex min-w-0 flex-1 animate-fade items-center gap-x-3 gap-y-1 max-xl:order-last max-xl:w-full max-xl:flex-none max-sm:flex-wrap"
    >
      <div className="flex min-w-0 items-center gap-3 overflow-x-auto p-1 max-sm:w-full">
        <Marked mark="positive" ids={positive} onUndo={onUndo} />
        <Marked mark="negative" ids={negative} onUndo={onUndo} />
      </div>
      {children}
      <button
        type="button"
        onClick={onClear}
        className="min-h-9 shrink-0 rounded-full px-2 text-sm font-medium text-accent underline-offset-4 hover:underline"
      >
        Clear all
      </button>
    </section>
  );
}

const MARKED = {
  positive: { icon: "up", label: "More like these", colours: "bg-accent-soft text-accent" },
  negative: { icon: "down", label: "Less like these", colours: "bg-danger-soft text-danger" },
} as const;

interface MarkedProps {
  mark: Mark;
  ids: string[];
  onUndo: (id: string) => void;
}

function Marked({ mark, ids, onUndo }: MarkedProps) {
  if (ids.length === 0) return null;
  const { icon, label, colours } = MARKED[mark];
  return (
    <ul role="list" aria-label={label} className={`flex items-center gap-1 rounded-full p-1 ${colours}`}>
      <li aria-hidden className="px-1.5">
        <Icon name={icon} className="size-4" />
      </li>
      {ids.map((id) => (
        <li key={id}>
          <button
            type="button"
            aria-label={`Remove mark from ${shortName(id)}`}
            title={`Remove mark from ${shortName(id)}`}
            onClick={() => onUndo(id)}
            className="group relative flex size-8 items-center justify-center overflow-hidden rounded-full bg-surface"
          >
            <IndexedThumbnail id={id} />
            <span className="absolute inset-0 flex items-center justify-center bg-black/55 text-white opacity-0 transition-opacity group-hover:opacity-100 group-focus-visible:opacity-100">
              <Icon name="close" className="size-4" />
            </span>
          </button>
        </li>
      ))}
    </ul>
  );
}
