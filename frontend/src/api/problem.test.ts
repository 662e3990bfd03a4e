import { describe, expect, it } from "vitest";
import { isRetryable, Problem, readProblem, Unreachable } from "@/api/problem";

describe("what an answer says went wrong", () => {
  it("is the document's own text", () => {
    const problem = readProblem(
      422,
      '{"code": "image_undecodable", "detail": "The PNG file is cut short."}',
      null,
    );
    expect(problem).toBeInstanceOf(Problem);
    expect(problem.message).toBe("The PNG file is cut short.");
  });

  it("knows how long to wait", () => {
    expect(readProblem(503, '{"code": "overloaded", "detail": "Busy."}', "7")).toMatchObject({
      retryAfter: 7,
    });
  });

  it("tells a proxy without a server from the server", () => {
    expect(readProblem(502, "<html>Bad Gateway</html>", null)).toBeInstanceOf(Unreachable);
    expect(readProblem(500, "oops", null)).toMatchObject({ status: 500, code: "unknown" });
  });

  it.each([404, 413, 415, 422])("is the answer, with status %i: another try brings no other", (status) => {
    expect(isRetryable(new Problem(status, "code", "No."))).toBe(false);
  });

  it.each([401, 429, 500, 503])("may be mended by another try, with status %i", (status) => {
    expect(isRetryable(new Problem(status, "code", "Not now."))).toBe(true);
    expect(isRetryable(new Unreachable())).toBe(true);
  });
});
