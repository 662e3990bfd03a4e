import type { BatchFile } from "@/api/uploads";
import type { JobDocument, JobSummary } from "@/api/types";

export type UploadState = "waiting" | "sending" | "indexing" | "held" | "done" | "failed";

export interface Upload {
  id: number;
  name: string;
  file: File;
  state: UploadState;
  /** Share of its bytes that has left, 0 to 1. */
  sent: number;
  reason: string | null;
  /** If it failed: whether a retry may succeed. */
  retryable: boolean;
  /** Whether a person decided that it replaces the image of the same name. */
  replaces: boolean;
}

export const newUpload = (id: number, name: string, file: File): Upload => ({
  id,
  name,
  file,
  state: "waiting",
  sent: 0,
  reason: null,
  retryable: true,
  replaces: false,
});

const BATCH_FILES = 32;
const BATCH_BYTES = 32e6;

/** Takes the next batch off the front of those that wait. A file that is larger than a batch is a batch by itself. */
export function takeBatch(waiting: Upload[]): Upload[] {
  const batch: Upload[] = [];
  const names = new Set<string>();
  let bytes = 0;
  for (;;) {
    const next = waiting[0];
    // In a job with two files of one name, a failure would not tell which of them it means.
    if (!next || batch.length >= BATCH_FILES || names.has(next.name)) break;
    if (batch.length > 0 && bytes + next.file.size > BATCH_BYTES) break;
    waiting.shift();
    batch.push(next);
    names.add(next.name);
    bytes += next.file.size;
  }
  return batch;
}

/** Counts uploads by their state, and bytes; the bytes of a failed file count as sent, because nothing more is sent. */
export function tallyUploads(uploads: readonly Upload[]) {
  const tally = { done: 0, failed: 0, retryable: 0, held: 0, bytes: 0, sentBytes: 0 };
  for (const { state, file, sent, retryable } of uploads) {
    if (state === "done" || state === "failed" || state === "held") tally[state] += 1;
    if (state === "failed" && retryable) tally.retryable += 1;
    tally.bytes += file.size;
    tally.sentBytes += state === "failed" ? file.size : file.size * sent;
  }
  return tally;
}

/** Names what is added at one time: 16 lower-case hexadecimal digits. Works without TLS too. */
export const newLabel = () =>
  [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** What to do with a file whose name another image has. */
export type NameClashChoice = "keep" | "replace" | "skip";

export interface Snapshot {
  uploads: readonly Upload[];
  total: number;
  done: number;
  failed: number;
  /** Failed files that are worth another try. */
  retryable: number;
  /** Files whose name another image has, until a person decides what to do. */
  held: number;
  /** Images whose name was taken, and which replaced what had it. */
  replaced: number;
  unchanged: number;
  bytes: number;
  sentBytes: number;
  /** Images per second since it began; null until it is known. */
  rate: number | null;
  secondsLeft: number | null;
  active: boolean;
  /** Whether it waits for a server that does not answer. */
  stalled: boolean;
}

/** What the queue is built on; tests put others in their place. */
export interface Transport {
  send: (
    files: BatchFile[],
    upload: string,
    onSent: (bytes: number) => void,
    signal: AbortSignal,
  ) => Promise<string>;
  follow: (jobId: string, onProgress: (job: JobSummary) => void, signal: AbortSignal) => Promise<JobDocument>;
  /** The sha256 of the image with this name; null if there is none. */
  lookUp: (name: string, signal: AbortSignal) => Promise<string | null>;
  cancel: (jobId: string) => Promise<void>;
  onIndexed: () => void;
}
