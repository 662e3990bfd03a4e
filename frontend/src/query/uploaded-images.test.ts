import { describe, expect, it } from "vitest";
import { load, store } from "@/query/uploaded-images";

describe("queries kept in the browser", () => {
  it("are found by the key that storing returned", async () => {
    const key = await store(new Blob(["bytes"]), "mine.png");
    expect((await load(key))?.name).toBe("mine.png");
  });

  it("are not made up", async () => {
    expect(await load("never stored")).toBeNull();
  });
});
