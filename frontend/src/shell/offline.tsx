import { Icon } from "@/ui/icons";

/** A strip under the header for as long as the server does not answer. */
export function OfflineBanner({ online }: { online: boolean }) {
  return (
    <div role="status" aria-live="polite">
      {!online && (
        <p className="flex animate-fade items-center justify-center gap-3 bg-warn-soft px-4 py-2.5 text-sm text-warn">
          <Icon name="retry" className="size-[1.125rem] motion-safe:animate-spin" />
          Can't reach the server. Reconnecting…
        </p>
      )}
    </div>
  );
}
