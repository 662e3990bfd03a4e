import { apiKey, keyHeaders } from "@/api/key";
import { readProblem, Unreachable } from "@/api/problem";

export interface BatchFile {
  name: string;
  file: File;
}

/**
 * Sends files as a bulk job and returns its id; the page shows the jobs of one `upload` as one. Uses XMLHttpRequest,
 * because fetch does not report how much of a request was sent.
 */
export function sendBatch(
  files: BatchFile[],
  upload: string,
  onSent: (bytes: number) => void,
  signal: AbortSignal,
): Promise<string> {
  const form = new FormData();
  // The names come first: the server reads the parts as they arrive.
  form.append("image_ids", JSON.stringify(files.map(({ name }) => name)));
  for (const { file } of files) form.append("image", file, "file");

  const key = apiKey.value;
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/v1/index/batch?upload=${encodeURIComponent(upload)}`);
    for (const [name, value] of Object.entries(keyHeaders())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onSent(event.loaded);
    request.onload = () => {
      if (request.status === 202) {
        resolve((JSON.parse(request.responseText) as { job_id: string }).job_id);
        return;
      }
      if (request.status === 401) apiKey.refused(key);
      reject(readProblem(request.status, request.responseText, request.getResponseHeader("retry-after")));
    };
    request.onerror = () => reject(new Unreachable());
    request.onabort = () => reject(new DOMException("Cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}
