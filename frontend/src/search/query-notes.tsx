import { Problem } from "@/api/problem";
import { useStats } from "@/api/queries";
import { hostOf, readTyped } from "@/query/query-parts";
import { Icon } from "@/ui/icons";

/** Errors about the query itself, which belong below the box. */
const TITLES: Record<string, string> = {
  text_search_unavailable: "The current model can't read text",
  url_refused: "Can't load this address",
  url_fetch_disabled: "This server doesn't load images from URLs",
  url_unreachable: "No image found at this address",
  url_fetch_timeout: "This address takes too long to answer",
};

export const isOfTheQuery = (error: unknown): error is Problem =>
  error instanceof Problem && Object.hasOwn(TITLES, error.code);

/** Below the box: what is wrong with the query, or what the model ignored. */
export function QueryNotes({ error, truncated }: { error: unknown; truncated: boolean }) {
  if (isOfTheQuery(error)) {
    return (
      <div
        role="alert"
        className="mt-3 flex animate-fade gap-3 rounded-2xl bg-danger-soft px-4 py-3 text-sm text-danger"
      >
        <Icon name="warning" className="size-5" />
        <p className="min-w-0 wrap-anywhere">
          <strong className="block font-semibold">{TITLES[error.code]}</strong>
          {error.message}
        </p>
      </div>
    );
  }
  if (!truncated) return null;
  return (
    <p role="status" className="mt-3 flex gap-2 rounded-2xl bg-warn-soft px-4 py-2.5 text-sm text-warn">
      <Icon name="warning" className="size-5" />
      The text is too long for the model, which ignored the end.
    </p>
  );
}

/** A hint about the text while a person types it; it overlays the page, so that nothing moves. */
export function TypedHint({ typed }: { typed: string }) {
  const model = useStats().data?.model;
  const { urls, words } = readTyped(typed);
  const [first] = urls;
  const more = urls.length > 1 ? ` and ${urls.length - 1} more` : "";
  const text =
    first !== undefined
      ? `Searches with the picture at ${hostOf(first)}${more}${words && `, and with “${words}”`}`
      : words !== "" && model?.towers.includes("text") === false
        ? `The current model (${model.name}) can't read text, so the search looks in descriptions and tags.`
        : null;
  return (
    <div role="status" className="absolute inset-x-3 top-full z-20">
      {text !== null && (
        <p className="mt-1 flex w-fit max-w-full animate-fade items-center gap-2 rounded-2xl border border-line bg-surface px-4 py-2.5 text-left text-sm text-pretty shadow-card">
          <Icon name={first === undefined ? "warning" : "link"} className="size-4 text-muted" />
          <span className="min-w-0 wrap-anywhere">{text}</span>
        </p>
      )}
    </div>
  );
}
