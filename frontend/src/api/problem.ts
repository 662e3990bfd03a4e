/** An error response of the API, with the server's own text (RFC 9457). */
export class Problem extends Error {
  override name = "Problem";

  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly retryAfter: number | null = null,
  ) {
    super(detail);
  }
}

/** There was no answer, or one of a proxy that got none itself. */
export class Unreachable extends Error {
  override name = "Unreachable";

  constructor() {
    super("The server isn't responding. This page continues by itself when the server is back.");
  }
}

/** Codes of failures of the image itself: the same bytes fail again. */
const FINAL_CODES = [
  "image_undecodable",
  "unsupported_format",
  "image_too_large",
  "body_too_large",
  "invalid_request",
];

/** Whether a retry may succeed; the failure of one image in a job has a code and no status. */
export const isRetryableCode = (code: string): boolean => !FINAL_CODES.includes(code);

/** Whether a retry may succeed: not if the server understood the request and refused it. */
export function isRetryable(error: unknown): boolean {
  if (!(error instanceof Problem)) return true;
  return error.status >= 500 || error.status === 429 || error.status === 408 || error.status === 401;
}

const GATEWAY_STATUS = [502, 503, 504];

/** Reads the problem out of a response that is not `ok`. */
export function readProblem(status: number, body: string, retryAfter: string | null): Problem | Unreachable {
  const seconds = retryAfter === null ? NaN : Number(retryAfter);
  const wait = Number.isFinite(seconds) ? seconds : null;
  try {
    const document = JSON.parse(body) as { detail?: unknown; code?: unknown };
    if (typeof document.detail === "string" && typeof document.code === "string") {
      return new Problem(status, document.code, document.detail, wait);
    }
  } catch {
    // Not from the API: only the status is known.
  }
  if (GATEWAY_STATUS.includes(status)) return new Unreachable();
  return new Problem(status, "unknown", `The server answered with status ${status}.`, wait);
}

export async function problemOf(response: Response): Promise<Problem | Unreachable> {
  return readProblem(response.status, await response.text(), response.headers.get("retry-after"));
}

/** What to show a person of any error. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
