/** Drawn for this page: 24 by 24, lines of 1.75. Each is beside a text or in a labelled button. */
const PATHS = {
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14Zm5-2 4.5 4.5",
  library: "M4 5h7v8H4zM14 5h6v5h-6zM4 16h7v3H4zM14 13h6v6h-6z",
  status: "M3 12h4l3-7 4 14 3-7h4",
  upload: "M12 16V4m0 0L7 9m5-5 5 5M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01",
  folder: "M3 6h6l2 2h10v11H3z",
  camera: "M4 8h3l2-3h6l2 3h3v11H4zM12 16.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7Z",
  close: "M6 6l12 12M18 6 6 18",
  download: "M12 4v12m0 0 5-5m-5 5-5-5M4 20h16",
  link: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7L12 7m2 3a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7L12 17",
  trash: "M4 7h16M9 7V4h6v3m-9 0 1 13h10l1-13M10 11v5m4-5v5",
  sparkle: "M12 3l2.2 6.8L21 12l-6.8 2.2L12 21l-2.2-6.8L3 12l6.8-2.2z",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  plus: "M12 5v14M5 12h14",
  check: "M5 12.5l4.5 4.5L19 7.5",
  warning: "M12 4 2.5 20h19zM12 10v4.5m0 2.6v.01",
  retry: "M20 5v5h-5M4 19v-5h5M19 10a7.5 7.5 0 0 0-13.5-2M5 14a7.5 7.5 0 0 0 13.5 2",
  filter: "M4 6h16M7 12h10M10 18h4",
  key: "M14.5 13.5a5 5 0 1 0-4-4L4 16v4h4v-3h3z",
  go: "M5 12h14m-6-6 6 6-6 6",
  text: "M5 7V5h14v2M12 5v14M9 19h6",
  up: "M7 10.5V20H4v-9.5zm0 0L11 3.5c1.4 0 2.3 1.1 2.1 2.5L12.6 9H18a2 2 0 0 1 2 2.3l-1.2 7A2 2 0 0 1 16.8 20H7",
  down: "M17 13.5V4h3v9.5zm0 0-4 7c-1.4 0-2.3-1.1-2.1-2.5l.5-3H6a2 2 0 0 1-2-2.3l1.2-7A2 2 0 0 1 7.2 4H17",
  more: "M5 12.4h.8v-.8H5zM11.6 12.4h.8v-.8h-.8zM18.2 12.4h.8v-.8h-.8z",
  ban: "M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17ZM6 6l12 12",
  copies: "M8 8h12v12H8zM4 16V4h12",
  clock: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16Zm0-13v5l3.5 2",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, className = "size-5" }: { name: IconName; className?: string }) {
  return (
    <svg
      viewBox="0 0 24 24"
      aria-hidden
      className={`shrink-0 ${className}`}
      fill="none"
      stroke="currentColor"
    >
      <path d={PATHS[name]} strokeWidth={1.75} strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
