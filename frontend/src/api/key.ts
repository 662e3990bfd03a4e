import { useSyncExternalStore } from "react";

/** The API key, where the server wants one. Kept for as long as the tab lives, and in no other place. */
const NAME = "api-key";

type Listener = () => void;

class ApiKey {
  #wanted = false;
  readonly #listeners = new Set<Listener>();

  get value(): string | null {
    return sessionStorage.getItem(NAME);
  }

  /** Whether a request was refused for want of a valid key. */
  get wanted(): boolean {
    return this.#wanted;
  }

  set(key: string): void {
    sessionStorage.setItem(NAME, key);
    this.#wanted = false;
    this.#changed();
  }

  refused(): void {
    if (this.#wanted) return;
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
