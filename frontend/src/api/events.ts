import { fetchRaw } from "@/api/client";
import type { JobDocument, JobSummary } from "@/api/types";

export interface ServerEvent {
  event: string;
  data: string;
}

/** Cuts a stream of Server-Sent Events into events. EventSource would do, but cannot send an API key. */
export async function* parseEvents(chunks: AsyncIterable<string>): AsyncGenerator<ServerEvent> {
  let rest = "";
  for await (const chunk of chunks) {
    // A carriage return at the very end may be half of a line's end; it waits for the next chunk.
    rest = (rest + chunk).replace(/\r\n|\r(?!$)/g, "\n");
    let end: number;
    while ((end = rest.indexOf("\n\n")) >= 0) {
      const block = rest.slice(0, end);
      rest = rest.slice(end + 2);
      const event: ServerEvent = { event: "message", data: "" };
      for (const line of block.split("\n")) {
        const [, field, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
        if (field === "event") event.event = value ?? "";
        if (field === "data") event.data += (event.data && "\n") + (value ?? "");
      }
      if (event.data) yield event;
    }
  }
}

async function* decodeText(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield decoder.decode(value, { stream: true });
    }
  } finally {
    // Whoever stops listening early lets go of the connection too.
    await reader.cancel().catch(() => undefined);
  }
}

const RECONNECT_MS = 1500;

/** Follows a job to its end, over lost connections, and returns its report. Throws what no waiting mends. */
export async function followJob(
  jobId: string,
  onProgress: (job: JobSummary) => void,
  signal: AbortSignal,
): Promise<JobDocument> {
  for (;;) {
    signal.throwIfAborted();
    try {
      const response = await fetchRaw(`/api/v1/jobs/${encodeURIComponent(jobId)}/events`, { signal });
      if (response.body) {
        for await (const { event, data } of parseEvents(decodeText(response.body))) {
          if (event === "finished") return JSON.parse(data) as JobDocument;
          onProgress(JSON.parse(data) as JobSummary);
        }
      }
    } catch (error) {
      const lost = error instanceof TypeError || (error instanceof Error && error.name === "Unreachable");
      if (!lost) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
  }
}
