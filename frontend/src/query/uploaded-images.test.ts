import { describe, expect, it } from "vitest";
import { loadImage, storeImage } from "@/query/uploaded-images";

describe("queries kept in the browser", () => {
  it("are found by the key that storing returned", async () => {
    const key = await storeImage(new Blob(["bytes"]), "mine.png");
    expect((await loadImage(key))?.name).toBe("mine.png");
  });

  it("are not made up", async () => {
    expect(await loadImage("never stored")).toBeNull();
  });
});
