import { del, entries, get, set } from "idb-keyval";
import { digest } from "@/digest";

/**
 * The images that were searched with, kept in this browser, so that back and reload find them. The key is the sha256 of
 * the bytes: it goes into the address, and finds the indexed image with the same bytes, with which others can open the link.
 */
export interface StoredQuery {
  blob: Blob;
  name: string;
  usedAt: number;
}

const MAX_STORED = 40;
const PREFIX = "query:";

/** If a browser stores nothing (a private window), queries live as long as the page. */
const memory = new Map<string, StoredQuery>();

export async function storeImage(blob: Blob, name: string): Promise<string> {
  const key = await digest(blob);
  const query = { blob, name, usedAt: Date.now() };
  memory.set(key, query);
  try {
    await set(PREFIX + key, query);
    await dropOldest();
  } catch {
    // Kept in memory at least.
  }
  return key;
}

export async function loadImage(key: string): Promise<StoredQuery | null> {
  const held = memory.get(key);
  if (held) return held;
  try {
    const kept = await get<StoredQuery>(PREFIX + key);
    if (kept) memory.set(key, kept);
    return kept ?? null;
  } catch {
    return null;
  }
}

async function dropOldest(): Promise<void> {
  const all = (await entries<string, StoredQuery>()).filter(([name]) => name.startsWith(PREFIX));
  const old = all.sort(([, a], [, b]) => b.usedAt - a.usedAt).slice(MAX_STORED);
  await Promise.all(old.map(([name]) => del(name)));
}
