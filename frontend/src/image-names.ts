import { digest } from "@/digest";

/** The name with a piece of the hash, so that nothing is replaced: "a.png" becomes "a-5c2ad8c5.png". */
export async function nameWithDigest(name: string, bytes: Blob): Promise<string> {
  const folders = name.lastIndexOf("/") + 1;
  const dot = name.lastIndexOf(".");
  const end = dot > folders ? dot : name.length;
  return `${name.slice(0, end)}-${(await digest(bytes)).slice(0, 8)}${name.slice(end)}`;
}
