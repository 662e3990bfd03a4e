// @vitest-environment jsdom
import { describe, expect, it } from "vitest";
import { parseEvents, type ServerEvent } from "@/api/events";

async function parsed(...chunks: string[]): Promise<ServerEvent[]> {
  async function* stream() {
    for (const chunk of chunks) {
      await Promise.resolve();
      yield chunk;
    }
  }
  const events: ServerEvent[] = [];
  for await (const event of parseEvents(stream())) events.push(event);
  return events;
}

describe("Server-Sent Events", () => {
  const text =
    'event: progress\r\ndata: {"a": 1}\r\n\r\n: ping\r\n\r\nevent: finished\r\ndata: {"a": 2}\r\n\r\n';
  const events = [
    { event: "progress", data: '{"a": 1}' },
    { event: "finished", data: '{"a": 2}' },
  ];

  it("are read whole", async () => {
    expect(await parsed(text)).toEqual(events);
  });

  it("are read in pieces, wherever they are cut", async () => {
    for (let at = 1; at < text.length; at++) {
      expect(await parsed(text.slice(0, at), text.slice(at))).toEqual(events);
    }
    expect(await parsed(...Array.from(text))).toEqual(events);
  });
});
