import { describe, expect, it, vi } from "vitest";
import { Problem, Unreachable } from "@/api/problem";
import type { JobDocument } from "@/api/types";
import type { BatchFile } from "@/api/uploads";
import { digest } from "@/digest";
import type { Transport } from "@/library/upload";
import { UploadQueue } from "@/library/upload-queue";

// jsdom's files have no arrayBuffer(): here the size is the hash.
vi.mock("@/digest", () => ({ digest: (blob: Blob) => Promise.resolve(`${blob.size}-bytes`) }));

const file = (name: string, bytes = 10) => new File([new Uint8Array(bytes)], name, { type: "image/png" });
const files = (count: number) => Array.from({ length: count }, (_, i) => file(`image-${i}.png`));

function report(batch: string[], damaged: string[], busy: string[]): JobDocument {
  const failures = [
    ...batch
      .filter((name) => damaged.includes(name))
      .map((name) => ({ image_id: name, code: "image_undecodable", reason: `${name} is damaged.` })),
    ...batch
      .filter((name) => busy.includes(name))
      .map((name) => ({ image_id: name, code: "overloaded", reason: `${name} has to wait.` })),
  ];
  return {
    job_id: "job",
    state: failures.length > 0 ? "completed_with_errors" : "completed",
    counts: {
      total: batch.length,
      processed: batch.length,
      indexed: batch.length - failures.length,
      replaced: 0,
      unchanged: 0,
      failed: failures.length,
    },
    rate: 1,
    eta_seconds: null,
    created_at: "",
    started_at: null,
    finished_at: null,
    upload: null,
    failures,
    dead_letters: [],
  };
}

/** A server in memory that remembers the batches it got. */
function server({
  damaged = [] as string[],
  busy = [] as string[],
  send,
  known = new Map<string, string>(),
  lookUp = (name) => Promise.resolve(known.get(name) ?? null),
  follow,
}: {
  damaged?: string[];
  busy?: string[];
  send?: (files: BatchFile[]) => Error | null;
  known?: Map<string, string>;
  lookUp?: Transport["lookUp"];
  follow?: Transport["follow"];
} = {}) {
  const batches: string[][] = [];
  const labels: string[] = [];
  const transport: Transport = {
    send: (batch, upload) => {
      labels.push(upload);
      const error = send?.(batch) ?? null;
      if (error) return Promise.reject(error);
      batches.push(batch.map(({ name }) => name));
      return Promise.resolve(String(batches.length - 1));
    },
    follow: follow ?? ((jobId) => Promise.resolve(report(batches[Number(jobId)] ?? [], damaged, busy))),
    lookUp,
    cancel: () => Promise.resolve(),
    onIndexed: vi.fn(),
  };
  return { queue: new UploadQueue(transport), batches, labels };
}

const finished = (queue: UploadQueue) =>
  vi.waitFor(() => expect(queue.snapshot().active).toBe(false), { timeout: 8000 });
const failures = (queue: UploadQueue) =>
  queue
    .snapshot()
    .uploads.filter(({ state }) => state === "failed")
    .map(({ name, reason }) => [name, reason]);

async function settled(queue: UploadQueue, total: number) {
  await vi.waitFor(() => expect(queue.snapshot().total).toBe(total));
  await finished(queue);
}

describe("the queue of uploads", () => {
  it("sends all files in batches of bounded size", async () => {
    const { queue, batches, labels } = server();
    queue.add(files(100));
    await settled(queue, 100);
    // The server must group them as one upload.
    expect(new Set(labels).size).toBe(1);
    expect(labels[0]).toMatch(/^[a-z0-9]{16}$/);
    expect(batches.flat().sort()).toEqual(
      files(100)
        .map(({ name }) => name)
        .sort(),
    );
    expect(Math.max(...batches.map((batch) => batch.length))).toBeLessThanOrEqual(32);
    expect(queue.snapshot()).toMatchObject({ done: 100, failed: 0 });
    queue.add([file("later.png")]);
    await vi.waitFor(() => expect(batches.at(-1)).toEqual(["later.png"]));
    expect(labels.at(-1)).not.toBe(labels[0]);
  });

  it("names the files that cannot be indexed, and sends only those again that another try may bring in", async () => {
    const { queue, batches } = server({ damaged: ["image-3.png"], busy: ["image-4.png"] });
    queue.add(files(5));
    await settled(queue, 5);
    expect(failures(queue)).toEqual([
      ["image-3.png", "image-3.png is damaged."],
      ["image-4.png", "image-4.png has to wait."],
    ]);
    expect(queue.snapshot()).toMatchObject({ failed: 2, retryable: 1 });
    queue.retryFailed();
    await vi.waitFor(() => expect(batches).toHaveLength(2));
    expect(batches[1]).toEqual(["image-4.png"]);
  });

  it("halves a batch that is refused until the file that is at fault stands alone", async () => {
    const { queue } = server({
      send: (batch) =>
        batch.some(({ name }) => name === "image-6.png")
          ? new Problem(413, "body_too_large", "Too large.")
          : null,
    });
    queue.add(files(20));
    await settled(queue, 20);
    expect(failures(queue)).toEqual([["image-6.png", "Too large."]]);
    expect(queue.snapshot()).toMatchObject({ done: 19, failed: 1, retryable: 0 });
  });

  it("waits for a server that does not answer", async () => {
    let tries = 0;
    const { queue } = server({ send: () => (++tries === 1 ? new Unreachable() : null) });
    queue.add(files(2));
    await vi.waitFor(() => expect(queue.snapshot().stalled).toBe(true));
    await settled(queue, 2);
    expect(queue.snapshot()).toMatchObject({ done: 2, failed: 0, stalled: false });
  });

  it("never puts two files of one name into one job", async () => {
    const { queue, batches } = server();
    queue.add([file("a.png"), file("a.png"), file("b.png")]);
    await settled(queue, 3);
    for (const batch of batches) expect(new Set(batch).size).toBe(batch.length);
  });

  it("replaces no image unasked", async () => {
    const { queue, batches } = server({ known: new Map([["a.png", "of another"]]) });
    queue.add([file("a.png"), file("b.png")]);
    await vi.waitFor(() => expect(queue.snapshot()).toMatchObject({ done: 1, held: 1, active: false }));
    expect(batches).toEqual([["b.png"]]);
  });

  it.each([
    ["keep", [expect.stringMatching(/^a-10-bytes\.png$/)], 1],
    ["replace", ["a.png"], 1],
    ["skip", undefined, 0],
  ] as const)("does what was chosen of a taken name: %s", async (choice, sent, total) => {
    const { queue, batches } = server({ known: new Map([["a.png", "of another"]]) });
    queue.add([file("a.png")]);
    await vi.waitFor(() => expect(queue.snapshot().held).toBe(1));
    await queue.settle(queue.snapshot().uploads, choice);
    await vi.waitFor(() => expect(queue.snapshot()).toMatchObject({ held: 0, done: total, total }));
    expect(batches[0]).toEqual(sent);
  });

  it("sends an image that is there already, which costs nothing", async () => {
    const same = file("a.png");
    const { queue } = server({ known: new Map([["a.png", await digest(same)]]) });
    queue.add([same]);
    await settled(queue, 1);
    expect(queue.snapshot()).toMatchObject({ done: 1, held: 0 });
  });

  it("asks again while the server is away, and replaces nothing meanwhile", async () => {
    let tries = 0;
    const lookUp = vi.fn((name: string) => {
      if (name === "b.png" && ++tries === 1) return Promise.reject(new Unreachable());
      return Promise.resolve(name === "a.png" ? "of another" : null);
    });
    const { queue, batches } = server({ lookUp });
    queue.add([file("a.png"), file("b.png")]);
    await vi.waitFor(() => expect(queue.snapshot()).toMatchObject({ done: 1, held: 1 }), { timeout: 8000 });
    expect(batches).toEqual([["b.png"]]);
    expect(lookUp).toHaveBeenCalledTimes(4);
  });

  it("holds the second of two different files of one name while the first is under way", async () => {
    const { queue, batches } = server({ follow: () => new Promise(() => undefined) });
    queue.add([file("a.png", 10), file("a.png", 11)]);
    await vi.waitFor(() => expect(queue.snapshot().held).toBe(1));
    expect(batches).toEqual([["a.png"]]);
  });

  it("keeps the folders in the names", async () => {
    const { queue, batches } = server();
    const inFolder = file("tom.png");
    Object.defineProperty(inFolder, "webkitRelativePath", { value: "cats/tom.png" });
    queue.add([inFolder], "/2024/");
    await settled(queue, 1);
    expect(batches).toEqual([["2024/cats/tom.png"]]);
  });
});
