import { useSyncExternalStore } from "react";

/**
 * The API key, if the server requires one. Each tab keeps it for as long as it lives, and gives it to new tabs of this
 * page that ask: it is forgotten when the last one is closed, and is on no disk that outlives the browser.
 */
const NAME = "api-key";

type Listener = () => void;

/** A message between tabs; an empty key requests one. */
interface Message {
  key: string;
}

class ApiKey {
  #wanted = false;
  readonly #listeners = new Set<Listener>();
  #others: BroadcastChannel | null = null;

  get value(): string | null {
    return sessionStorage.getItem(NAME);
  }

  /** Whether a request was refused for want of a valid key. */
  get wanted(): boolean {
    return this.#wanted;
  }

  set(key: string): void {
    this.#keep(key);
    this.#others?.postMessage({ key } satisfies Message);
  }

  /** Exchanges keys with the other tabs of this page from now on. Call it once. */
  share(channel: BroadcastChannel): void {
    this.#others = channel;
    channel.onmessage = ({ data }: MessageEvent<Message>) => {
      const own = this.value;
      // A key that the server has refused helps no other tab.
      if (data.key === "" && own !== null && !this.#wanted)
        channel.postMessage({ key: own } satisfies Message);
      // Take a newly entered key if this tab has none, or if the server refused its key.
      if (data.key !== "" && (own === null || this.#wanted)) this.#keep(data.key);
    };
    if (this.value === null) channel.postMessage({ key: "" } satisfies Message);
  }

  #keep(key: string): void {
    sessionStorage.setItem(NAME, key);
    this.#wanted = false;
    this.#changed();
  }

  /** Call this with the key of a request that was refused. An earlier key than the present one is ignored. */
  refused(sent: string | null): void {
    if (this.#wanted || sent !== this.value) return;
    this.#wanted = true;
    this.#changed();
  }

  subscribe = (listener: Listener): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  #changed(): void {
    this.#listeners.forEach((listener) => listener());
  }
}

export const apiKey = new ApiKey();

export function useApiKey(): string | null {
  return useSyncExternalStore(apiKey.subscribe, () => apiKey.value);
}

export function useKeyWanted(): boolean {
  return useSyncExternalStore(apiKey.subscribe, () => apiKey.wanted);
}

export function keyHeaders(): Record<string, string> {
  return apiKey.value === null ? {} : { "X-API-Key": apiKey.value };
}
