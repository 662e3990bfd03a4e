import { describe, expect, it } from "vitest";
import { readRange } from "@/query/metadata-filter";

describe("a range that was entered", () => {
  it("has its lower end first whichever box that is in", () => {
    expect(readRange("2015", "2020", false)).toEqual({ from: 2015, to: 2020, turned: false });
    expect(readRange("2020", "2015", false)).toEqual({ from: 2015, to: 2020, turned: true });
    // As numbers, not as texts.
    expect(readRange("9", "10", false)).toEqual({ from: 9, to: 10, turned: false });
  });

  it("takes both days as a whole, in either order", () => {
    const whole = { from: "2020-01-31T00:00:00Z", to: "2020-02-01T23:59:59Z" };
    expect(readRange("2020-01-31", "2020-02-01", true)).toEqual({ ...whole, turned: false });
    expect(readRange("2020-02-01", "2020-01-31", true)).toEqual({ ...whole, turned: true });
  });

  it("may have one end or none, and 0 is an end", () => {
    expect(readRange("", "2020", false)).toEqual({ from: null, to: 2020, turned: false });
    expect(readRange("5", "0", false)).toEqual({ from: 0, to: 5, turned: true });
    expect(readRange("", "", true)).toEqual({ from: null, to: null, turned: false });
    expect(readRange("-", "", false)).toEqual({ from: null, to: null, turned: false });
  });
});
