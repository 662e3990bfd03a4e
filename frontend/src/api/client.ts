import createClient, { type Middleware } from "openapi-fetch";
import { apiKey, keyHeaders } from "@/api/key";
import { problemOf, Unreachable } from "@/api/problem";
import type { paths } from "@/api/schema";

/** Sends the key, and turns every failure into a thrown Problem or Unreachable. */
const errors: Middleware = {
  onRequest({ request }) {
    for (const [name, value] of Object.entries(keyHeaders())) request.headers.set(name, value);
  },
  async onResponse({ request, response }) {
    if (response.ok) return;
    if (response.status === 401) apiKey.refused(request.headers.get("X-API-Key"));
    throw await problemOf(response);
  },
  onError({ error }) {
    // fetch throws TypeError if there is no connection; an abort was intended and stays an abort.
    return error instanceof TypeError ? new Unreachable() : undefined;
  },
};

export const api = createClient<paths>({
  baseUrl: globalThis.location.origin,
  // Asked for at each call, so that tests can put another in its place.
  fetch: (request) => globalThis.fetch(request),
});
api.use(errors);

/** The data of a call's response. Throws what the middleware throws, and an Error if the response is empty. */
export async function unwrap<T>(call: Promise<{ data?: T }>): Promise<T> {
  const { data } = await call;
  if (data === undefined) throw new Error("The server's answer is empty.");
  return data;
}

/** Fetches what is no JSON. */
export async function fetchRaw(
  url: string,
  init: { method?: string; signal?: AbortSignal } = {},
): Promise<Response> {
  const key = apiKey.value;
  let response: Response;
  try {
    response = await globalThis.fetch(url, {
      ...init,
      headers: keyHeaders(),
    });
  } catch (error) {
    throw error instanceof TypeError ? new Unreachable() : error;
  }
  if (response.ok) return response;
  if (response.status === 401) apiKey.refused(key);
  throw await problemOf(response);
}

/** A file for the generated types of a multipart body, which have string for OpenAPI's binary. */
export const asBinary = (blob: Blob): string => blob as unknown as string;

/** A body as multipart/form-data: files and texts as they are, everything else as JSON. */
export function asForm(body: object): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(body)) {
    if (value instanceof Blob) form.append(name, value, "query");
    else if (typeof value === "string") form.append(name, value);
    else if (value !== undefined && value !== null) form.append(name, JSON.stringify(value));
  }
  return form;
}
