import { digest } from "@/digest";

interface Named {
  name: string;
  file: File;
  replaces: boolean;
}

/** Tells whether an image that is not the same has a name: one of the collection, or one that is on its way there. */
export class TakenNames {
  readonly #underWay = new Map<string, File>();
  #hashing: Promise<unknown> = Promise.resolve();

  constructor(private readonly lookUp: (name: string, signal: AbortSignal) => Promise<string | null>) {}

  /** A name that is free is the file's until it is given back. Raises what the look-up raises. */
  async has({ name, file, replaces }: Named, signal: AbortSignal): Promise<boolean> {
    const other = this.#underWay.get(name);
    if (other === undefined || replaces) this.#underWay.set(name, file);
    if (replaces || other === file) return false;
    if (other !== undefined) return !(await this.#isSame(file, await this.#hash(other)));
    let taken = true;
    try {
      const known = await this.lookUp(name, signal);
      taken = known !== null && !(await this.#isSame(file, known));
    } finally {
      if (taken) this.giveBack({ name, file });
    }
    return taken;
  }

  /** To be called when a file is in, or will not be. */
  giveBack({ name, file }: Pick<Named, "name" | "file">): void {
    if (this.#underWay.get(name) === file) this.#underWay.delete(name);
  }

  async #isSame(file: File, sha256: string): Promise<boolean> {
    return (await this.#hash(file)) === sha256;
  }

  /** One at a time, because each file is in memory meanwhile. A file that cannot be read is like no other. */
  #hash(file: File): Promise<string> {
    const hash = this.#hashing.then(() => digest(file)).catch(() => "unreadable");
    this.#hashing = hash;
    return hash;
  }
}
