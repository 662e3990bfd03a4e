import { type ToggleEvent, useId, useRef, useState } from "react";
import { Icon } from "@/ui/icons";

interface Option<T extends string> {
  value: T;
  label: string;
  /** What it does, in a line, or why it cannot be chosen. */
  hint: string;
  disabled?: boolean;
}

interface Props<T extends string> {
  /** What is chosen, in a word, beside the choice; and what the choice is about. */
  label: string;
  title: string;
  value: T;
  options: readonly Option<T>[];
  onChange: (value: T) => void;
}

/** In pixels; w-80 below. */
const WIDTH = 320;
const EDGE_MARGIN = 8;

/**
 * A choice whose options need an explanation: a button shows the chosen one and opens the list below it. It stays open
 * while one tries them, in the browser's own popover: above everything, and closed by Escape.
 */
export function Choice<T extends string>({ label, title, value, options, onChange }: Props<T>) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  const chosen = options.find((option) => option.value === value);

  const place = (event: ToggleEvent) => {
    if (event.newState !== "open" || !button.current || !list.current) return;
    const { left, bottom } = button.current.getBoundingClientRect();
    // Placed on the page, with which it scrolls, and within the window in any case.
    list.current.style.left = `${Math.max(EDGE_MARGIN, Math.min(left, document.body.clientWidth - WIDTH - EDGE_MARGIN)) + scrollX}px`;
    list.current.style.top = `${bottom + 6 + scrollY}px`;
  };
  const toggled = (event: ToggleEvent) => {
    setOpen(event.newState === "open");
    if (event.newState === "open") list.current?.querySelector<HTMLElement>("input:checked")?.focus();
  };

  return (
    <>
      <button
        ref={button}
        type="button"
        popoverTarget={id}
        aria-expanded={open}
        title={title}
        className="inline-flex min-h-9 shrink-0 items-center gap-1.5 rounded-full border border-line bg-surface px-3 text-sm whitespace-nowrap transition-colors hover:border-line-strong pointer-coarse:min-h-11"
      >
        <span className="text-muted">{label}:</span>
        <span className="font-medium">{chosen?.label}</span>
        <Icon name="right" className="size-3.5 rotate-90 text-muted" />
      </button>
      <div
        ref={list}
        id={id}
        popover="auto"
        onBeforeToggle={place}
        onToggle={toggled}
        className="absolute inset-auto m-0 w-80 rounded-2xl border border-line bg-surface p-1.5 text-ink shadow-card"
      >
        <fieldset>
          <legend className="px-3 pt-2 pb-1 text-sm text-muted">{title}</legend>
          {options.map((option) => (
            <label
              key={option.value}
              className={`relative flex min-h-11 items-start gap-3 rounded-xl px-3 py-2 text-sm has-focus-visible:outline-2 has-focus-visible:outline-accent ${
                option.value === value
                  ? "bg-accent-soft"
                  : option.disabled
                    ? ""
                    : "cursor-pointer hover:bg-sunken"
              }`}
            >
              <input
                type="radio"
                name={`${id}-option`}
                className="absolute inset-0 cursor-[inherit] appearance-none opacity-0"
                aria-describedby={`${id}-${option.value}`}
                checked={option.value === value}
                disabled={option.disabled ?? false}
                onChange={() => onChange(option.value)}
              />
              <Icon
                name="check"
                className={`mt-0.5 size-4 text-accent ${option.value === value ? "" : "invisible"}`}
              />
              <span className="min-w-0">
                <span className={`block font-medium ${option.disabled ? "text-muted" : ""}`}>
                  {option.label}
                </span>
                <span id={`${id}-${option.value}`} aria-hidden className="block text-pretty text-muted">
                  {option.hint}
                </span>
              </span>
            </label>
          ))}
        </fieldset>
      </div>
    </>
  );
}
