import { describe, expect, it } from "vitest";
import { Problem, readProblem, Unreachable } from "@/api/problem";

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
});
