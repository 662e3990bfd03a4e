import { Link, useLocation, useRoute } from "wouter";
import { Icon, type IconName } from "@/ui/icons";
import { PATHS } from "@/paths";

const SECTIONS: { path: string; label: string; icon: IconName }[] = [
  { path: PATHS.search, label: "Search", icon: "search" },
  { path: PATHS.library, label: "Library", icon: "library" },
  { path: PATHS.status, label: "Status", icon: "status" },
];

export function Header({ activity }: { activity: string | null }) {
  const [location] = useLocation();
  // The status page leads to bulk jobs, which belong to it.
  const [inJob] = useRoute(PATHS.job);
  return (
    <header className="sticky top-0 z-30 border-b border-line bg-canvas/85 backdrop-blur-lg">
      <a
        href="#main"
        className="sr-only rounded-full bg-accent px-4 py-2 text-on-accent focus:not-sr-only focus:absolute focus:top-3 focus:left-4"
      >
        Skip to content
      </a>
      <div className="mx-auto flex h-16 max-w-[140rem] items-center justify-between gap-2 px-4 sm:px-6 lg:px-8">
        <Link
          href={PATHS.search}
          className="flex items-center gap-3 rounded-lg"
          aria-label="Image Similarity, start page"
        >
          <Logo />
          <span className="hidden font-semibold tracking-tight sm:block">Image Similarity</span>
        </Link>
        <nav aria-label="Pages">
          <ul className="flex items-center gap-1">
            {SECTIONS.map(({ path, label, icon }) => {
              const here = location === path || (path === PATHS.status && inJob);
              return (
                <li key={path}>
                  <Link
                    href={path}
                    aria-current={here ? "page" : undefined}
                    className={`relative flex min-h-10 items-center gap-2 rounded-full px-3 text-sm font-medium transition-colors sm:px-4 ${
                      here ? "bg-accent-soft text-accent" : "text-muted hover:bg-sunken hover:text-ink"
                    }`}
                  >
                    <Icon name={icon} className="hidden size-[1.125rem] min-[400px]:block" />
                    {label}
                    {path === PATHS.library && activity !== null && (
                      <span className="rounded-full bg-accent px-1.5 text-xs text-on-accent tabular-nums">
                        <span className="sr-only">uploading: </span>
                        {activity}
                      </span>
                    )}
                  </Link>
                </li>
              );
            })}
          </ul>
        </nav>
      </div>
    </header>
  );
}

function Logo() {
  return (
    <svg viewBox="0 0 32 32" className="size-8" aria-hidden>
      <rect x="2" y="2" width="20" height="20" rx="6" className="fill-accent" />
      <rect x="10" y="10" width="20" height="20" rx="6" className="fill-warm" fillOpacity={0.92} />
      <path d="M16 10h6v6a6 6 0 0 1-6 6h-6v-6a6 6 0 0 1 6-6Z" className="fill-canvas" />
    </svg>
  );
}
