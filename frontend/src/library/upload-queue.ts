import { isRetryableCode, isRetryable, Problem, errorText } from "@/api/problem";
import { nameWithDigest } from "@/image-names";
import { imageName } from "@/library/files";
import { retryDelay } from "@/library/retry-delay";
import { TakenNames } from "@/library/taken-names";
import { newLabel, newUpload, takeBatch, tallyUploads } from "@/library/upload";
import type { NameClashChoice, Snapshot, Transport, Upload, UploadState } from "@/library/upload";

/** Batches under way: one is sent while the one before is indexed. */
const MAX_PARALLEL_BATCHES = 2;
const NOTIFY_MS = 100;
const CANCELLED = "Cancelled.";
const REFUSALS_OF_ONE_FILE = [413, 415, 422];

/**
 * Brings files to the server in batches, each a bulk job, and knows what became of every file.
 *
 * A file never replaces another image of the same name by itself: the queue holds it until a person decides.
 * A server that does not answer is waited for. A batch that is refused because of one file in it is halved until that
 * file is alone; it fails with its reason and the others go on.
 */
export class UploadQueue {
  #uploads: Upload[] = [];
  #waiting: Upload[] = [];
  #running = 0;
  #replaced = 0;
  #unchanged = 0;
  #startedAt = 0;
  #upload = newLabel();
  #indexedInJobs = new Map<string, number>();
  #settledBefore = 0;
  #stalled = false;
  #abort = new AbortController();
  #rate: number | null = null;
  #snapshot: Snapshot = this.#buildSnapshot();
  #notifying = false;
  readonly #listeners = new Set<() => void>();
  #nextId = 0;
  readonly #taken: TakenNames;

  constructor(private readonly transport: Transport) {
    this.#taken = new TakenNames(transport.lookUp);
  }

  add(files: File[], folder = ""): void {
    if (!this.#snapshot.active) this.#beginAnew();
    const prefix = folder.replace(/^\/+|\/+$/g, "");
    const added = files.map((file) =>
      newUpload(this.#nextId++, prefix ? `${prefix}/${imageName(file)}` : imageName(file), file),
    );
    this.#uploads = [...this.#uploads, ...added];
    this.#waiting.push(...added);
    this.#startBatches();
  }

  /** Sends the failed files again for which that may help. */
  retryFailed(): void {
    // What is sent a second time is a bulk job by itself: the report of the first stays as it was.
    if (!this.#snapshot.active) this.#beginUpload();
    const failed = this.#uploads.filter((upload) => upload.state === "failed" && upload.retryable);
    for (const upload of failed) this.#setState(upload, "waiting", null);
    this.#waiting.push(...failed);
    this.#startBatches();
  }

  /** Goes on with files that are held: under a name of their own, in place of what has the name, or not at all. */
  async settle(uploads: readonly Upload[], choice: NameClashChoice): Promise<void> {
    const held = uploads.filter(({ state }) => state === "held");
    if (choice === "skip") this.#uploads = this.#uploads.filter((upload) => !held.includes(upload));
    else {
      if (!this.#snapshot.active) this.#startClock();
      for (const upload of held) {
        this.#setState(upload, "waiting", null);
        if (choice === "keep") upload.name = await nameWithDigest(upload.name, upload.file);
        else upload.replaces = true;
      }
      this.#waiting.push(...held);
    }
    this.#startBatches();
  }

  /** Sends no more; what the server has begun it finishes. */
  cancel(): void {
    this.#abort.abort();
    this.#abort = new AbortController();
    for (const upload of this.#waiting) this.#setState(upload, "failed", CANCELLED);
    this.#waiting = [];
    for (const jobId of this.#indexedInJobs.keys()) void this.transport.cancel(jobId).catch(() => undefined);
    this.#changed();
  }

  clear(): void {
    this.#uploads = [];
    this.#changed();
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  snapshot = (): Snapshot => this.#snapshot;

  #beginAnew(): void {
    // Failed files stay, so that they can be retried, and so do files that wait for a decision.
    this.#uploads = this.#uploads.filter(({ state }) => state === "failed" || state === "held");
    this.#replaced = this.#unchanged = 0;
    this.#beginUpload();
  }

  #beginUpload(): void {
    this.#upload = newLabel();
    this.#startClock();
  }

  #startClock(): void {
    this.#startedAt = performance.now();
    this.#rate = null;
    this.#settledBefore = this.#uploads.filter(({ state }) => state === "failed" || state === "done").length;
  }

  #startBatches(): void {
    while (this.#running < MAX_PARALLEL_BATCHES && this.#waiting.length > 0) {
      this.#running += 1;
      void this.#deliver(takeBatch(this.#waiting), this.#abort.signal).finally(() => {
        this.#running -= 1;
        this.#startBatches();
        this.#changed();
      });
    }
    this.#changed();
  }

  /** Sends a batch, but for the files whose name another image has. */
  async #deliver(batch: Upload[], signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        const asked = batch.map((upload) => this.#taken.has(upload, signal));
        // Wait for every lookup to end, because a retry starts them all again.
        await Promise.allSettled(asked);
        const taken = await Promise.all(asked);
        for (const upload of batch.filter((_, index) => taken[index])) {
          this.#setState(upload, "held", "Another image has this name.");
        }
        const free = batch.filter((_, index) => !taken[index]);
        if (free.length > 0) await this.#run(free, signal);
        return;
      } catch (error) {
        if (await this.#waitToRetry(error, signal)) continue;
        this.#fail(batch, error, signal);
        return;
      }
    }
  }

  /** Waits out what passes by itself; false for everything else. */
  async #waitToRetry(error: unknown, signal: AbortSignal): Promise<boolean> {
    const wait = signal.aborted ? null : retryDelay(error);
    if (wait === null) return false;
    this.#stalled = true;
    this.#changed();
    await new Promise((resolve) => setTimeout(resolve, wait));
    return true;
  }

  async #run(batch: Upload[], signal: AbortSignal): Promise<void> {
    for (;;) {
      for (const upload of batch) this.#setState(upload, "sending", null);
      try {
        const jobId = await this.transport.send(
          batch,
          this.#upload,
          (bytes) => this.#updateProgress(batch, bytes),
          signal,
        );
        this.#stalled = false;
        for (const upload of batch) this.#setState(upload, "indexing", null);
        await this.#follow(jobId, batch, signal);
        return;
      } catch (error) {
        if (await this.#waitToRetry(error, signal)) continue;
        if (
          !signal.aborted &&
          batch.length > 1 &&
          error instanceof Problem &&
          REFUSALS_OF_ONE_FILE.includes(error.status)
        ) {
          const middle = batch.length >> 1;
          await this.#run(batch.slice(0, middle), signal);
          await this.#run(batch.slice(middle), signal);
          return;
        }
        this.#fail(batch, error, signal);
        return;
      }
    }
  }

  async #follow(jobId: string, batch: Upload[], signal: AbortSignal): Promise<void> {
    this.#indexedInJobs.set(jobId, 0);
    try {
      const job = await this.transport.follow(
        jobId,
        ({ counts }) => {
          this.#indexedInJobs.set(jobId, counts.processed);
          this.#changed();
        },
        signal,
      );
      const failures = new Map(job.failures.map((failure) => [failure.image_id, failure]));
      const unfinished = job.state === "cancelled" || job.state === "failed";
      for (const upload of batch) {
        const failure = failures.get(upload.name);
        const reason = failure?.reason ?? (unfinished ? "The job was stopped before this image." : null);
        this.#setState(
          upload,
          reason === null ? "done" : "failed",
          reason,
          !failure || isRetryableCode(failure.code),
        );
      }
      this.#replaced += job.counts.replaced;
      this.#unchanged += job.counts.unchanged;
      this.transport.onIndexed();
    } finally {
      this.#indexedInJobs.delete(jobId);
    }
  }

  /** The parts of a multipart body leave in order, so the sum gives the progress of each. */
  #updateProgress(batch: Upload[], bytes: number): void {
    for (const upload of batch) {
      const size = Math.max(1, upload.file.size);
      upload.sent = Math.min(1, Math.max(0, bytes / size));
      bytes -= size;
    }
    this.#changed();
  }

  #fail(batch: Upload[], error: unknown, signal: AbortSignal): void {
    for (const upload of batch) {
      if (signal.aborted) this.#setState(upload, "failed", CANCELLED);
      else this.#setState(upload, "failed", errorText(error), isRetryable(error));
    }
  }

  #setState(upload: Upload, state: UploadState, reason: string | null, again = true): void {
    if (state === "done" || state === "failed") this.#taken.giveBack(upload);
    upload.state = state;
    upload.reason = reason;
    upload.retryable = again;
    upload.sent = state === "indexing" || state === "done" ? 1 : 0;
  }

  /** Tells listeners, at most ten times a second: with thousands of files more would be all that happens. */
  #changed(): void {
    if (this.#notifying) return;
    this.#notifying = true;
    setTimeout(() => {
      this.#notifying = false;
      this.#snapshot = this.#buildSnapshot();
      this.#listeners.forEach((listener) => listener());
    }, NOTIFY_MS);
  }

  #buildSnapshot(): Snapshot {
    const tally = tallyUploads(this.#uploads);
    const inJobs = [...this.#indexedInJobs.values()].reduce((sum, processed) => sum + processed, 0);
    const settled = tally.done + tally.failed - this.#settledBefore + inJobs;
    const left = this.#uploads.length - tally.done - tally.failed - tally.held - inJobs;
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const active = this.#running > 0 || this.#waiting.length > 0;
    // The last figure stays in sight when all is done.
    if (active || this.#rate === null) this.#rate = settled > 0 && seconds > 0 ? settled / seconds : null;
    const rate = this.#rate;
    return {
      ...tally,
      uploads: [...this.#uploads],
      total: this.#uploads.length,
      done: Math.min(this.#uploads.length, tally.done + (active ? inJobs : 0)),
      replaced: this.#replaced,
      unchanged: this.#unchanged,
      rate,
      secondsLeft: active && rate !== null ? left / rate : null,
      active,
      stalled: this.#stalled && active,
    };
  }
}
