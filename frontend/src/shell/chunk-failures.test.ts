// @vitest-environment jsdom
import { beforeEach, describe, expect, it, vi } from "vitest";
import { isChunkFailure, reloadOnce, watchChunks } from "@/shell/chunk-failures";

describe("a part of the page that cannot be loaded", () => {
  beforeEach(() => sessionStorage.clear());

  it("is told from every other error, however the browser words it", () => {
    watchChunks();
    const gone = new TypeError("worded by the browser");
    window.dispatchEvent(Object.assign(new Event("vite:preloadError"), { payload: gone }));
    expect(isChunkFailure(gone)).toBe(true);
    expect(isChunkFailure(new TypeError("worded by the browser"))).toBe(false);
    expect(isChunkFailure("text")).toBe(false);
  });

  it("reloads the page once, and again only much later", () => {
    const reload = vi.fn();
    expect(reloadOnce(reload, 1_000_000)).toBe(true);
    expect(reloadOnce(reload, 1_010_000)).toBe(false);
    expect(reload).toHaveBeenCalledTimes(1);
    expect(reloadOnce(reload, 2_000_000)).toBe(true);
  });

  it("does not reload where a browser remembers nothing", () => {
    const reload = vi.fn();
    const refuse = vi.spyOn(Storage.prototype, "getItem").mockImplementation(() => {
      throw new DOMException("refused", "SecurityError");
    });
    expect(reloadOnce(reload)).toBe(false);
    expect(reload).not.toHaveBeenCalled();
    refuse.mockRestore();
  });
});
