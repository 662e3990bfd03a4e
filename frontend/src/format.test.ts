import { expect, it } from "vitest";
import { bytes, duration, milliseconds, plural, shortName } from "@/format";

it("says figures as people do", () => {
  expect(bytes(0)).toBe("0 B");
  expect(bytes(1500)).toBe("1.5 kB");
  expect(bytes(999_600)).toBe("1.0 MB");
  expect(duration(45)).toBe("45 s");
  expect(duration(3600)).toBe("1 h");
  expect(duration(90_000)).toBe("1 d 1 h");
  expect(milliseconds(0.2)).toBe("under 1 ms");
  expect(milliseconds(2345)).toBe("2.3 s");
  expect(plural(1, "image")).toBe("1 image");
  expect(plural(12_345, "image")).toBe("12,345 images");
  expect(shortName("cats/tom.jpg")).toBe("tom.jpg");
});
