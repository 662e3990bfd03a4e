import { describe, expect, it } from "vitest";
import { neighboursOf } from "@/viewer/use-neighbours";

const picture = (image_id: string) => ({ image_id, sha256: "", width: 1, height: 1 });
const [a, b, c] = [picture("a"), picture("b"), picture("c")];

describe("the neighbours of an image", () => {
  it("are those beside it", () => {
    expect(neighboursOf([a, b, c], "b", -1)).toEqual({ previous: a, next: c });
    expect(neighboursOf([a, b, c], "a", 2)).toEqual({ previous: undefined, next: b });
    expect(neighboursOf([a, b, c], "c", 0)).toEqual({ previous: b, next: undefined });
  });

  it("are those around the place that it has left", () => {
    expect(neighboursOf([a, c], "b", 1)).toEqual({ previous: a, next: c });
    expect(neighboursOf([b, c], "a", 0)).toEqual({ previous: undefined, next: b });
    expect(neighboursOf([a, b], "c", 2)).toEqual({ previous: b, next: undefined });
    expect(neighboursOf([a], "c", 5)).toEqual({ previous: a, next: undefined });
    expect(neighboursOf([], "c", 0)).toEqual({ previous: undefined, next: undefined });
  });

  it("are none where it was never among them", () => {
    expect(neighboursOf([a, b], "z", -1)).toEqual({ previous: undefined, next: undefined });
  });
});
