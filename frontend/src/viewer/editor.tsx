import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type SyntheticEvent, useEffect, useState } from "react";
import { unwrap, api } from "@/api/client";
import { errorText } from "@/api/problem";
import type { ImageDocument, Metadata } from "@/api/types";
import { shortName } from "@/format";
import { useToast } from "@/ui/toasts";
import { Button, IconButton } from "@/ui/button";
import type { Draft } from "@/viewer/draft";
import { keptDrafts } from "@/viewer/kept-drafts";
import { mergePatch, readValue, writeValue } from "@/viewer/merge-patch";
import { joinDescription, readTags, splitDescription, writeTags } from "@/viewer/description-fields";

interface Field {
  id: number;
  name: string;
  text: string;
}

/** Edits an image's metadata; only what was changed is sent, so that what others change meanwhile stays. */
export function MetadataEditor({
  image,
  draft,
  onDone,
}: {
  image: ImageDocument;
  draft: Draft;
  onDone: () => void;
}) {
  const before = image.metadata as Metadata;
  const client = useQueryClient();
  const toast = useToast();
  const kept = keptDrafts.of(image.image_id);
  const [words, setWords] = useState(() => {
    if (kept) return kept.words;
    const { description, tags } = splitDescription(before).words;
    return { description, tags: writeTags(tags) };
  });
  const [fields, setFields] = useState<Field[]>(() => {
    if (kept) return kept.fields;
    const known = Object.entries(splitDescription(before).others).map(([name, value], id) => ({
      id,
      name,
      text: writeValue(value),
    }));
    return known;
  });
  const set = (id: number, change: Partial<Field>) =>
    setFields((all) => all.map((field) => (field.id === id ? { ...field, ...change } : field)));

  const save = useMutation({
    mutationFn: (patch: Metadata) =>
      unwrap(
        api.PATCH("/api/v1/images/{image_id}", {
          params: { path: { image_id: image.image_id } },
          body: { metadata: patch },
        }),
      ),
    onSuccess: (changed) => {
      client.setQueryData(["image", image.image_id], changed);
      for (const name of ["facets", "search", "library"]) void client.invalidateQueries({ queryKey: [name] });
      toast({ text: "Metadata saved" });
      finish();
      draft.go();
    },
  });

  const taken = [
    ...(words.description.trim() !== "" ? ["description"] : []),
    ...(readTags(words.tags).length > 0 ? ["tags"] : []),
  ];
  const names = [...taken, ...fields.map(({ name }) => name.trim()).filter(Boolean)];
  const twice = names.find((name, index) => names.indexOf(name) !== index);

  const others: Metadata = {};
  for (const { name, text } of fields) if (name.trim()) others[name.trim()] = readValue(text);
  const said = { description: words.description, tags: readTags(words.tags) };
  const patch = mergePatch(before, joinDescription(said, others));
  const changed = Object.keys(patch).length > 0;
  const { setUnsaved } = draft;
  useEffect(() => {
    setUnsaved(changed);
    return () => setUnsaved(false);
  }, [changed, setUnsaved]);
  // At every keystroke, because "back" takes the editor away without asking.
  useEffect(() => {
    if (changed) keptDrafts.keep(image.image_id, { words, fields });
    else keptDrafts.forget(image.image_id);
  }, [changed, image.image_id, words, fields]);
  useEffect(
    () => () => {
      if (keptDrafts.has(image.image_id)) {
        toast({ text: `Kept your changes to ${shortName(image.image_id)}: open it to continue` });
      }
    },
    [image.image_id, toast],
  );
  const finish = () => {
    keptDrafts.forget(image.image_id);
    onDone();
  };

  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (changed) save.mutate(patch);
    else finish();
  };

  return (
    <form onSubmit={submit} className="space-y-2">
      <label className="block text-sm text-muted">
        Description
        <textarea
          rows={3}
          className="field mt-1 field-sizing-content max-h-60"
          value={words.description}
          onChange={(event) => setWords({ ...words, description: event.target.value })}
        />
      </label>
      <label className="block pb-2 text-sm text-muted">
        Tags, separated by commas
        <input
          className="field mt-1"
          value={words.tags}
          onChange={(event) => setWords({ ...words, tags: event.target.value })}
        />
      </label>
      {fields.map(({ id, name, text }) => (
        <div key={id} className="flex items-center gap-1.5">
          <input
            aria-label="Field"
            placeholder="field"
            className="field w-2/5"
            value={name}
            onChange={(event) => set(id, { name: event.target.value })}
          />
          <input
            aria-label={`Value of ${name || "the new field"}`}
            placeholder="value"
            className="field min-w-0 flex-1"
            value={text}
            onChange={(event) => set(id, { text: event.target.value })}
          />
          <IconButton
            icon="close"
            label={`Remove ${name || "the new field"}`}
            className="-mr-2 size-8"
            onClick={() => setFields((all) => all.filter((field) => field.id !== id))}
          />
        </div>
      ))}
      <Button
        variant="quiet"
        icon="plus"
        className="-ml-4"
        onClick={() =>
          setFields((all) => [
            ...all,
            { id: Math.max(-1, ...all.map(({ id }) => id)) + 1, name: "", text: "" },
          ])
        }
      >
        Add a field
      </Button>
      <p className="text-xs text-muted">
        Numbers, yes/no and lists such as [&quot;red&quot;, &quot;blue&quot;] keep their type; everything else
        is text.
      </p>
      {twice !== undefined && (
        <p role="alert" className="text-sm text-danger">
          There are two fields called “{twice}”.
        </p>
      )}
      {save.isError && (
        <p role="alert" className="text-sm text-danger">
          {errorText(save.error)}
        </p>
      )}
      {draft.asked ? (
        <div role="alertdialog" aria-label="Unsaved changes" className="rounded-2xl bg-warn-soft p-3">
          <p className="mb-3 text-sm text-warn">You have unsaved changes. Save them?</p>
          <div className="flex flex-wrap gap-2">
            {/* The question has come up because the person wanted to go on; Enter answers it. */}
            <Button
              type="submit"
              variant="primary"
              // eslint-disable-next-line jsx-a11y/no-autofocus
              autoFocus
              disabled={save.isPending || twice !== undefined}
            >
              Save
            </Button>
            <Button
              onClick={() => {
                finish();
                draft.go();
              }}
            >
              Discard
            </Button>
            <Button onClick={draft.stay}>Keep editing</Button>
          </div>
        </div>
      ) : (
        <div className="flex gap-2 pt-2">
          <Button type="submit" variant="primary" disabled={save.isPending || twice !== undefined}>
            Save
          </Button>
          <Button onClick={finish}>Cancel</Button>
        </div>
      )}
    </form>
  );
}
