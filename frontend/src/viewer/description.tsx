import { Link } from "wouter";
import type { Tagging } from "@/api/types";
import { percent } from "@/format";
import { tagSearchUrl } from "@/query/search-state";
import { Icon } from "@/ui/icons";
import type { DescriptionFields } from "@/viewer/description-fields";

/** The description of an image, and its tags, each a link to the images that have it. */
export function Description({ words, tagging }: { words: DescriptionFields; tagging: Tagging | null }) {
  const { description, tags } = words;
  const found = (field: string) => tagging?.filled.includes(field) ?? false;
  return (
    <>
      {description !== "" && (
        <p className="text-pretty wrap-anywhere">
          {description}
          {found("description") && (
            <span className="mt-1 flex items-center gap-1.5 text-xs text-muted">
              <Icon name="sparkle" className="size-3.5" /> written by a model
            </span>
          )}
        </p>
      )}
      {tags.length > 0 && (
        <div>
          <ul role="list" aria-label="Tags" className="flex flex-wrap gap-1.5">
            {tags.map((tag) => (
              <li key={tag}>
                <Tag tag={tag} found={found("tags")} confidence={tagging?.confidence[tag]} />
              </li>
            ))}
          </ul>
          {found("tags") && (
            <p className="mt-1.5 flex items-center gap-1.5 text-xs text-muted">
              <Icon name="sparkle" className="size-3.5" /> tags found by a model
            </p>
          )}
        </div>
      )}
    </>
  );
}

interface TagProps {
  tag: string;
  /** By a tagger. */
  found: boolean;
  confidence: number | undefined;
}

function Tag({ tag, found, confidence }: TagProps) {
  const sure = confidence === undefined ? "" : `, ${percent(confidence)} sure`;
  return (
    <Link
      href={tagSearchUrl(tag)}
      title={found ? `Found by a model${sure}` : `Search for ${tag}`}
      className={`inline-flex min-h-8 items-center gap-1.5 rounded-full px-3 text-sm transition-colors hover:bg-accent-soft hover:text-accent ${
        found ? "border border-dashed border-line-strong" : "border border-transparent bg-sunken"
      }`}
    >
      {tag}
      {found && confidence !== undefined && (
        <span className="text-xs text-muted tabular-nums">{percent(confidence)}</span>
      )}
    </Link>
  );
}
