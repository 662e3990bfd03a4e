import type { Json, Metadata } from "@/api/types";

/** The text about an image: by convention two fields of its metadata, which keyword search reads. */
export interface DescriptionFields {
  description: string;
  tags: string[];
}

const isText = (value: Json | undefined): value is string => typeof value === "string";

/** The words of an image's metadata, and the fields that are none: a "tags" of another shape is a field like any other. */
export function splitDescription(metadata: Metadata): { words: DescriptionFields; others: Metadata } {
  const { description, tags, ...others } = metadata;
  const words: DescriptionFields = { description: "", tags: [] };
  if (isText(description)) words.description = description;
  else if (description !== undefined) others["description"] = description;
  if (Array.isArray(tags) && tags.every((tag) => isText(tag) && isTag(tag))) words.tags = tags as string[];
  else if (tags !== undefined) others["tags"] = tags;
  return { words, others };
}

/** Whether it comes back out of a line of tags as it went in. */
const isTag = (tag: string) => tag !== "" && tag === tag.trim() && !tag.includes(",");

export const writeTags = (tags: string[]): string => tags.join(", ");

export function readTags(line: string): string[] {
  const tags = line.split(",").map((tag) => tag.trim());
  return [...new Set(tags)].filter((tag) => tag !== "");
}

/** The metadata with the words in it; without any, the fields are not there. */
export function joinDescription({ description, tags }: DescriptionFields, others: Metadata): Metadata {
  return {
    ...others,
    ...(description.trim() !== "" && { description: description.trim() }),
    ...(tags.length > 0 && { tags }),
  };
}
