/** The sha256 of bytes. Without https browsers do not hash (localhost aside): then a random name, which no indexed image ever equals. */
export async function digest(blob: Blob): Promise<string> {
  const bytes = globalThis.isSecureContext
    ? new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()))
    : crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
