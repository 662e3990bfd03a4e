import { type SyntheticEvent, useEffect, useState } from "react";
import { useLocation } from "wouter";
import type { SearchAnswer } from "@/api/types";
import { NO_MARKS } from "@/query/feedback-marks";
import { queryFromText, readTyped, wordsOf } from "@/query/query-parts";
import { QueryChips } from "@/search/query-chips";
import { ImagePickerIcons } from "@/search/image-picker";
import type { Part, SearchState } from "@/query/search-state";
import { TypedHint } from "@/search/query-notes";
import { useReadsText } from "@/query/use-text-model";
import { IconButton } from "@/ui/button";
import { Icon } from "@/ui/icons";
import { PATHS } from "@/paths";

interface Props {
  state: SearchState;
  update: (change: Partial<SearchState>) => void;
  answer?: SearchAnswer | undefined;
}

/** What is searched with: words, addresses of pictures and pictures, all in one place. */
export function SearchBox({ state, update, answer }: Props) {
  const { parts } = state;
  const words = wordsOf(parts);
  const [typed, setTyped] = useState(words);
  const [, navigate] = useLocation();
  const readsText = useReadsText();
  // "Back", a removed part, another search: the box shows the words that are searched for.
  useEffect(() => setTyped(words), [words, parts.length]);

  const { urls } = readTyped(typed);
  const pictures = parts.filter(({ kind }) => kind !== "text").length;
  const change = (next: Part[]) => (next.length === 0 ? navigate(PATHS.search) : update({ parts: next }));
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (typed.trim() === "" && words === "") return;
    const next = queryFromText(parts, typed);
    // Marks belong to the results of the search before.
    if (next.length === 0) navigate(PATHS.search);
    else update({ parts: next, ...NO_MARKS });
  };

  return (
    <div className="relative">
      <form
        role="search"
        aria-label="Images"
        onSubmit={submit}
        className="rounded-3xl border border-line bg-surface shadow-card transition-colors focus-within:border-accent hover:border-line-strong"
      >
        <div className="flex min-h-14 items-center gap-1 pr-2 pl-2 sm:pl-4">
          <Icon name={urls.length > 0 ? "link" : "search"} className="size-5 text-muted max-sm:hidden" />
          <input
            aria-label="Text or image URL"
            placeholder={placeholder(pictures, readsText ?? true)}
            enterKeyHint="search"
            autoComplete="off"
            maxLength={10_000}
            className="h-14 min-w-0 flex-1 bg-transparent px-2 text-base text-ellipsis outline-none placeholder:text-muted"
            value={typed}
            onChange={(event) => setTyped(event.target.value)}
          />
          {(parts.length > 0 || typed !== "") && (
            <IconButton
              icon="close"
              label="New search"
              className={parts.length > 0 ? "max-sm:hidden" : ""}
              onClick={() => {
                setTyped("");
                navigate(PATHS.search);
              }}
            />
          )}
          {parts.length > 0 && <ImagePickerIcons />}
          <button
            type="submit"
            aria-label={urls.length > 0 ? "Search with this picture" : "Search"}
            className="inline-flex size-10 items-center justify-center rounded-full bg-accent text-on-accent transition-colors hover:bg-accent-strong"
          >
            <Icon name="go" />
          </button>
        </div>
        <QueryChips parts={parts} answer={answer} filtered={state.rules.length > 0} onChange={change} />
      </form>
      {typed !== words && <TypedHint typed={typed} />}
    </div>
  );
}

function placeholder(pictures: number, readsText: boolean): string {
  if (pictures > 0) return "Add words…";
  return readsText
    ? "Describe a picture, or paste an image URL"
    : "Search descriptions and tags, or paste an image URL";
}
