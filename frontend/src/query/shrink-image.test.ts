import { describe, expect, it, vi } from "vitest";
import { fitted, type Redraw, shrinkImage } from "@/query/shrink-image";

const blob = (bytes: number) => new Blob([new Uint8Array(bytes)]);
const PHOTO = 10_500_000;

describe("the size of a small copy", () => {
  it("keeps the proportions and enlarges nothing", () => {
    expect(fitted({ width: 6000, height: 4000 }, 1024)).toEqual({ width: 1024, height: 683 });
    expect(fitted({ width: 400, height: 300 }, 1024)).toEqual({ width: 400, height: 300 });
    expect(fitted({ width: 9000, height: 2 }, 1024)).toEqual({ width: 1024, height: 1 });
  });
});

describe("what is sent of a picture that is searched with", () => {
  it("is a small copy, made once", async () => {
    const photo = blob(PHOTO);
    const small = blob(98_000);
    const redraw = vi.fn<Redraw>(() => Promise.resolve(small));
    expect(await shrinkImage(photo, redraw)).toBe(small);
    expect(await shrinkImage(photo, redraw)).toBe(small);
    expect(redraw).toHaveBeenCalledTimes(1);
  });

  it("is the picture itself where it is light already", async () => {
    const light = blob(100_000);
    expect(await shrinkImage(light, () => Promise.reject(new Error("not to be asked")))).toBe(light);
  });

  it.each<[string, Redraw]>([
    ["cannot be decoded by the browser", () => Promise.reject(new DOMException("No.", "InvalidStateError"))],
    ["cannot be written", () => Promise.resolve(null)],
    ["would be larger as a copy", () => Promise.resolve(blob(PHOTO + 1))],
    ["would be empty as a copy", () => Promise.resolve(blob(0))],
  ])("is the picture itself where it %s", async (_, redraw) => {
    const photo = blob(PHOTO);
    expect(await shrinkImage(photo, redraw)).toBe(photo);
  });
});
