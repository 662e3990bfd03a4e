import type { Hit, Picture } from "@/api/types";
import { type Grouping, groupTitle } from "@/query/grouping";

/** One place in the results: a hit, or one of the images that are nearly the same as the hit before it. */
export interface Entry {
  hit: Hit;
  /** Its place in the ranking; null for what is only nearly the same. */
  rank: number | null;
}

export interface Section {
  /** What its images have in common; null if they are not grouped. */
  title: string | null;
  entries: Entry[];
}

/** The results in the order in which they are shown; behind an opened hit come those that are nearly the same. */
export function buildSections(
  hits: Hit[],
  grouping: Grouping | null,
  opened: ReadonlySet<string>,
): Section[] {
  const sections: Section[] = [];
  hits.forEach((hit, index) => {
    const title = grouping === null ? null : groupTitle(grouping, hit.group);
    let section = sections.at(-1);
    if (section?.title !== title) sections.push((section = { title, entries: [] }));
    section.entries.push({ hit, rank: index + 1 });
    if (!opened.has(hit.image_id)) return;
    section.entries.push(...hit.duplicates.map((id) => ({ hit: duplicateOf(hit, id), rank: null })));
  });
  return sections;
}

/** What is known of an image of which only the id came: that it is nearly the same as a hit. */
const duplicateOf = (hit: Hit, id: string): Hit => ({
  ...hit,
  image_id: id,
  sha256: "",
  metadata: null,
  confidence: null,
  duplicates: [],
});

/** The first `count` groups, or the first `count` hits if they are not grouped. */
export function takeGroups(hits: Hit[], count: number, grouped: boolean): Hit[] {
  if (!grouped) return hits.slice(0, count);
  const groups = [...new Set(hits.map(({ group }) => group))].slice(0, count);
  return hits.filter(({ group }) => groups.includes(group));
}

/** The pictures that the viewer goes through: each image once, with its score if it has one of its own. */
export function viewerPictures(sections: Section[]): (Picture & { score?: number })[] {
  const pictures = new Map<string, Picture & { score?: number }>();
  for (const { hit, rank } of sections.flatMap(({ entries }) => entries)) {
    const { image_id, sha256, width, height, score } = hit;
    if (pictures.has(image_id)) continue;
    pictures.set(image_id, { image_id, sha256, width, height, ...(rank !== null && { score }) });
  }
  return [...pictures.values()];
}
