import { type KeyboardEvent, type ToggleEvent, useId, useRef, useState } from "react";
import { Icon, type IconName } from "@/ui/icons";

export interface MenuItem {
  label: string;
  icon: IconName;
  run: () => void;
}

interface Props {
  label: string;
  items: MenuItem[];
  className: string;
  tabIndex: number;
}

const EDGE_MARGIN = 8;

/** A button that opens a list of things to do. The browser's own popover: above everything, and closed by Escape. */
export function Menu({ label, items, className, tabIndex }: Props) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);

  const place = (event: ToggleEvent) => {
    if (event.newState !== "open" || !button.current || !list.current) return;
    const { top, right } = button.current.getBoundingClientRect();
    // Above the button, its right edge with the button's, and within the window in any case.
    list.current.style.right = `${Math.min(innerWidth - right, innerWidth - WIDTH - EDGE_MARGIN)}px`;
    list.current.style.bottom = `${Math.max(EDGE_MARGIN, Math.min(innerHeight - top + 4, innerHeight - 44 * items.length - 80))}px`;
  };
  const toggled = (event: ToggleEvent) => {
    setOpen(event.newState === "open");
    if (event.newState === "open") entries(list.current)[0]?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const all = entries(list.current);
    const at = all.findIndex((entry) => entry === document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Tab") list.current?.hidePopover();
    if (to === undefined) return;
    event.preventDefault();
    all.at(to % all.length)?.focus();
  };

  return (
    // What is pressed in the menu is not meant for whatever the menu belongs to.
    // eslint-disable-next-line jsx-a11y/no-static-element-interactions
    <span className="contents" onKeyDown={(event) => event.stopPropagation()}>
      <button
        ref={button}
        type="button"
        popoverTarget={id}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-label={label}
        title={label}
        tabIndex={tabIndex}
        className={className}
      >
        <Icon name="more" />
      </button>
      <div
        ref={list}
        id={id}
        popover="auto"
        role="menu"
        aria-label={label}
        tabIndex={-1}
        onBeforeToggle={place}
        onToggle={toggled}
        onKeyDown={onKeyDown}
        className="fixed inset-auto m-0 w-52 rounded-2xl border border-line bg-surface p-1.5 text-ink shadow-card"
      >
        {items.map((item) => (
          <button
            key={item.label}
            type="button"
            role="menuitem"
            tabIndex={-1}
            onClick={() => {
              list.current?.hidePopover();
              item.run();
            }}
            className="flex min-h-11 w-full items-center gap-3 rounded-xl px-3 text-left text-sm hover:bg-sunken focus-visible:bg-sunken focus-visible:outline-none"
          >
            <Icon name={item.icon} className="size-[1.125rem] text-muted" />
            {item.label}
          </button>
        ))}
      </div>
    </span>
  );
}

/** In pixels; w-52 above. */
const WIDTH = 208;

const entries = (list: HTMLElement | null): HTMLElement[] =>
  Array.from(list?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? []);
