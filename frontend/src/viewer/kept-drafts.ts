/**
 * What a person typed in an editor that closed without a question, as the browser's "back" does. The page keeps it until it
 * is closed, and fills the editor with it when the image is opened again.
 */
export interface KeptDraft {
  words: { description: string; tags: string };
  fields: { id: number; name: string; text: string }[];
}

/** The oldest goes when there are more. */
const MAX_DRAFTS = 20;

export class KeptDrafts {
  readonly #drafts = new Map<string, KeptDraft>();

  get size(): number {
    return this.#drafts.size;
  }

  has(imageId: string): boolean {
    return this.#drafts.has(imageId);
  }

  keep(imageId: string, draft: KeptDraft): void {
    this.#drafts.delete(imageId);
    this.#drafts.set(imageId, draft);
    const oldest = this.#drafts.keys().next();
    if (this.#drafts.size > MAX_DRAFTS && !oldest.done) this.#drafts.delete(oldest.value);
  }

  /** The draft of an image; null if there is none. It stays until `forget`. */
  of(imageId: string): KeptDraft | null {
    return this.#drafts.get(imageId) ?? null;
  }

  forget(imageId: string): void {
    this.#drafts.delete(imageId);
  }
}

export const keptDrafts = new KeptDrafts();
