import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { bytes, count, duration, plural } from "@/format";
import type { NameClashChoice, Upload, UploadState } from "@/library/upload";
import { useUploadProgress, useUploads } from "@/library/uploads-context";
import { Button } from "@/ui/button";
import { Icon, type IconName } from "@/ui/icons";

/** Pixels: a failed file has its reason below its name, on two lines if needed. */
const ROW = { plain: 44, failed: 76 };

const LABELS: Record<UploadState, { text: string; icon: IconName; colour: string }> = {
  waiting: { text: "Waiting", icon: "clock", colour: "text-muted" },
  sending: { text: "Sending", icon: "upload", colour: "text-accent" },
  indexing: { text: "Indexing", icon: "retry", colour: "text-accent" },
  held: { text: "Another image has this name", icon: "warning", colour: "text-warn" },
  done: { text: "Done", icon: "check", colour: "text-good" },
  failed: { text: "Failed", icon: "warning", colour: "text-danger" },
};

/** What is being added: all together, and each file. */
export function UploadPanel() {
  const queue = useUploads();
  const progress = useUploadProgress();
  const { total, done, failed, retryable, held, active, stalled, replaced, unchanged } = progress;
  const [onlyFailed, setOnlyFailed] = useState(false);
  const listed = useMemo(
    () => (onlyFailed ? progress.uploads.filter(({ state }) => state === "failed") : progress.uploads),
    [onlyFailed, progress.uploads],
  );
  if (total === 0) return null;
  // The same figures as above: the share of files that are added or have failed.
  const share = (done + failed) / total;

  return (
    <section aria-labelledby="upload-title" className="card mb-8 animate-rise overflow-hidden shadow-card">
      <div className="p-4 sm:p-6">
        <div className="flex flex-wrap items-center justify-between gap-x-6 gap-y-3">
          <div>
            <h2 id="upload-title" className="font-semibold" aria-live="polite">
              {active
                ? `Adding ${plural(total, "image")}`
                : failed + held === 0
                  ? `Added ${plural(done, "image")}`
                  : `Added ${count(done)} of ${plural(total, "image")}`}
            </h2>
            <p className="text-sm text-muted tabular-nums" data-testid="upload-figures">
              {stalled
                ? "Waiting for the server…"
                : [
                    `${count(done)} added`,
                    failed > 0 && `${count(failed)} failed`,
                    replaced > 0 && `${count(replaced)} replaced an existing image`,
                    unchanged > 0 && `${count(unchanged)} already there`,
                    `${bytes(progress.sentBytes)} of ${bytes(progress.bytes)}`,
                    progress.rate !== null && `${progress.rate.toFixed(1)} images/s`,
                    progress.secondsLeft !== null && `${duration(progress.secondsLeft)} left`,
                  ]
                    .filter(Boolean)
                    .join(" · ")}
            </p>
          </div>
          <div className="flex flex-wrap gap-2">
            {retryable > 0 && !active && (
              <Button icon="retry" onClick={() => queue.retryFailed()}>
                Retry {count(retryable)} failed
              </Button>
            )}
            {active ? (
              <Button icon="close" onClick={() => queue.cancel()}>
                Stop
              </Button>
            ) : (
              <Button variant="quiet" icon="check" onClick={() => queue.clear()}>
                Clear
              </Button>
            )}
          </div>
        </div>
        <div
          role="progressbar"
          aria-label="All files"
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={Math.round(share * 100)}
          className="mt-4 flex h-2 overflow-hidden rounded-full bg-line"
        >
          <div
            className="h-full bg-gradient-to-r from-accent to-warm transition-[width] duration-300"
            style={{ width: `${(done / total) * 100}%` }}
          />
          <div className="h-full bg-danger" style={{ width: `${(failed / total) * 100}%` }} />
        </div>
        {failed > 0 && failed < total && (
          <label className="mt-3 inline-flex items-center gap-2 text-sm">
            <input
              type="checkbox"
              className="size-4 accent-accent"
              checked={onlyFailed}
              onChange={() => setOnlyFailed(!onlyFailed)}
            />
            Show failed only
          </label>
        )}
      </div>
      <Clashes held={progress.uploads.filter(({ state }) => state === "held")} />
      <FileList uploads={listed} />
    </section>
  );
}

const CHOICES: { choice: NameClashChoice; label: string }[] = [
  { choice: "keep", label: "Keep both" },
  { choice: "replace", label: "Replace" },
  { choice: "skip", label: "Skip" },
];

/** The files that would replace another image. Here a person decides for all at once, in its row for one. */
function Clashes({ held }: { held: Upload[] }) {
  const queue = useUploads();
  if (held.length === 0) return null;
  return (
    <div
      role="group"
      aria-labelledby="clashes"
      className="flex flex-wrap items-center justify-between gap-3 border-t border-line bg-warn-soft px-4 py-3 sm:px-6"
    >
      <p id="clashes" className="text-sm text-warn">
        {held.length === 1
          ? "1 file has the name of another image."
          : `${count(held.length)} files have the names of other images.`}
      </p>
      <div className="flex flex-wrap gap-2">
        {CHOICES.map(({ choice, label }) => (
          <Button
            key={choice}
            variant={choice === "keep" ? "primary" : "plain"}
            onClick={() => void queue.settle(held, choice)}
          >
            {label}
          </Button>
        ))}
      </div>
    </div>
  );
}

function FileList({ uploads }: { uploads: readonly Upload[] }) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtualizer = useVirtualizer({
    count: uploads.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => heightOf(uploads[index]),
    overscan: 6,
  });
  // Rows that fail, or are no longer listed, give others a new place.
  const failures = uploads.filter(({ state }) => state === "failed").length;
  useEffect(() => virtualizer.measure(), [uploads.length, failures, virtualizer]);
  return (
    // A region that scrolls has to be reachable by keyboard.
    <div
      ref={scroller}
      className="max-h-72 overflow-y-auto border-t border-line"
      // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
      tabIndex={0}
      role="region"
      aria-label="Files"
    >
      <ul role="list" className="relative" style={{ height: virtualizer.getTotalSize() }}>
        {virtualizer.getVirtualItems().map(({ index, start }) => {
          const upload = uploads[index];
          return (
            upload && (
              <li
                key={upload.id}
                className="absolute inset-x-0"
                style={{ top: start, height: heightOf(upload) }}
              >
                <FileRow upload={upload} />
              </li>
            )
          );
        })}
      </ul>
    </div>
  );
}

const heightOf = (upload: Upload | undefined) => (upload?.state === "failed" ? ROW.failed : ROW.plain);

function FileRow({ upload }: { upload: Upload }) {
  const queue = useUploads();
  const { text, icon, colour } = LABELS[upload.state];
  const failed = upload.state === "failed";
  return (
    <div className="relative flex h-full items-center gap-3 px-4 text-sm sm:px-6">
      <Icon
        name={icon}
        className={`size-4 ${colour} ${upload.state === "indexing" ? "motion-safe:animate-spin" : ""}`}
      />
      <div className={`flex min-w-0 flex-1 ${failed ? "flex-col" : "items-center gap-3"}`}>
        <span
          className={`truncate ${failed || upload.state === "held" ? "min-w-0" : "max-w-[45%] shrink-0"}`}
          title={upload.name}
        >
          {upload.name}
        </span>
        {upload.state === "held" ? (
          <span
            className="ml-auto flex shrink-0 gap-1 whitespace-nowrap"
            role="group"
            aria-label={upload.name}
          >
            {CHOICES.map(({ choice, label }) => (
              <button
                key={choice}
                type="button"
                className="rounded-full px-2 py-1 text-warn hover:bg-sunken"
                onClick={() => void queue.settle([upload], choice)}
              >
                {label}
              </button>
            ))}
          </span>
        ) : (
          <span
            className={`min-w-0 ${failed ? "line-clamp-2 wrap-anywhere" : "flex-1 truncate text-right"} ${colour}`}
            title={upload.reason ?? undefined}
          >
            {upload.reason ?? text}
          </span>
        )}
      </div>
      <span className="hidden w-20 shrink-0 text-right text-muted tabular-nums sm:block">
        {bytes(upload.file.size)}
      </span>
      {/* How much of the file was sent; the bar above shows how many files are done. */}
      {upload.state === "sending" && (
        <span
          className="absolute inset-x-0 bottom-0 h-0.5 origin-left bg-accent/50 transition-transform"
          style={{ transform: `scaleX(${upload.sent})` }}
        />
      )}
    </div>
  );
}
