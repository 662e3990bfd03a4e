import { expect, it } from "vitest";
import { Problem, Unreachable } from "@/api/problem";
import { noteOf } from "@/search/progress";

it("says that the server is busy, and when it is asked again", () => {
  expect(noteOf(new Problem(503, "overloaded", "Busy.", 5))).toBe("The server is busy. Trying again in 5 s.");
  expect(noteOf(new Problem(503, "overloaded", "Busy."))).toContain("in 1 s");
});

it("says nothing of errors after which nothing is asked again", () => {
  for (const error of [null, new Unreachable(), new Problem(422, "invalid_request", "No.")]) {
    expect(noteOf(error)).toBeNull();
  }
});
