import * as Dialog from "@radix-ui/react-dialog";
import { type KeyboardEvent, lazy, Suspense, useState } from "react";
import { Link, useLocation } from "wouter";
import { download } from "@/api/images";
import { errorText } from "@/api/problem";
import { useImage } from "@/api/queries";
import type { Metadata, Picture } from "@/api/types";
import { moment, shortName } from "@/format";
import { useKeepMarksOnBack, useViewed } from "@/query/use-search-state";
import { MARK_KEYS, type Marking, nextMark } from "@/query/feedback-marks";
import type { ScoreScale } from "@/query/score-scale";
import { similarUrl } from "@/query/search-state";
import { ThumbButtons } from "@/query/thumb-buttons";
import { useToast } from "@/ui/toasts";
import { Button, buttonClass, IconButton } from "@/ui/button";
import { Icon } from "@/ui/icons";
import { Failure } from "@/ui/notes";
import { loadEditor } from "@/viewer/chunks";
import { useDeleteImage } from "@/viewer/use-delete-image";
import { type Draft, useDraft } from "@/viewer/draft";
import { FullImage } from "@/viewer/full-image";
import { keptDrafts } from "@/viewer/kept-drafts";
import { useNeighbours } from "@/viewer/use-neighbours";
import { MetadataTable } from "@/viewer/metadata";
import { Description } from "@/viewer/description";
import { splitDescription } from "@/viewer/description-fields";
import { Zoomable } from "@/viewer/zoomable";
import { libraryImagePath } from "@/paths";

const Editor = lazy(() => loadEditor().then(({ MetadataEditor }) => ({ default: MetadataEditor })));

type Scored = Picture & { score?: number };

export interface Props {
  /** The pictures that the arrow keys go through. */
  pictures: Scored[];
  /** What the scores mean; undefined if there are none. */
  scale?: ScoreScale;
  /** Present if the images are results. */
  marking?: Marking;
}

/** One image, whole, with all that is known of it and all that can be done with it. */
export default function Viewer({ pictures, scale, marking }: Props) {
  const { viewed, turn, close } = useViewed();
  useKeepMarksOnBack();
  const { previous, next } = useNeighbours(pictures, viewed);
  const draft = useDraft();
  const shut = () => draft.leave(close);
  const go = ({ image_id }: Scored) => draft.leave(() => turn(image_id));

  const onKeyDown = (event: KeyboardEvent) => {
    const typing = event.target instanceof HTMLElement && event.target.closest("input, textarea, select");
    // With these the browser leafs, and makes everything larger.
    if (typing || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft" && previous) go(previous);
    if (event.key === "ArrowRight" && next) go(next);
    const mark = MARK_KEYS[event.key];
    if (mark && marking && viewed !== null) marking.onMark(viewed, nextMark(marking.markOf(viewed), mark));
  };

  return (
    <Dialog.Root open={viewed !== null} onOpenChange={(open) => !open && shut()}>
      <Dialog.Portal>
        {/* Not Dialog.Overlay: that one writes a <style>, which the page's content policy forbids. */}
        <div className="fixed inset-0 z-40 animate-fade bg-black/60 backdrop-blur-sm" />
        <Dialog.Content
          data-modal
          aria-describedby={undefined}
          // The dialog itself, so that arrow keys leaf at once and no button looks chosen.
          onOpenAutoFocus={(event) => {
            event.preventDefault();
            if (event.currentTarget instanceof HTMLElement) event.currentTarget.focus();
          }}
          onKeyDown={onKeyDown}
          // "Undo" is outside the dialog and disappears when it is pressed; that must not close the dialog.
          onInteractOutside={(event) => {
            const { target } = event;
            if (target instanceof Element && (!target.isConnected || target.closest("[data-toasts]"))) {
              event.preventDefault();
            }
          }}
          className="fixed inset-0 z-40 flex animate-fade flex-col outline-none overflow-y-auto bg-surface shadow-card md:inset-6 md:flex-row md:overflow-hidden md:rounded-3xl xl:inset-x-[max(2rem,calc(50vw-50rem))] xl:inset-y-8"
        >
          {viewed !== null && (
            <Contents
              id={viewed}
              known={pictures.find(({ image_id }) => image_id === viewed)}
              scale={scale}
              marking={marking}
              turnButtons={
                <>
                  {previous && <TurnButton side="left" label="Previous image" onClick={() => go(previous)} />}
                  {next && <TurnButton side="right" label="Next image" onClick={() => go(next)} />}
                </>
              }
              draft={draft}
              onSwipe={(towards) => {
                const image = towards === "next" ? next : previous;
                if (image) go(image);
              }}
              onDeleted={() => {
                const beside = next ?? previous;
                if (beside) turn(beside.image_id);
                else close();
              }}
            />
          )}
          <Dialog.Close asChild>
            <IconButton
              icon="close"
              label="Close"
              className="absolute top-3 right-3 bg-surface/90 text-ink shadow-card"
            />
          </Dialog.Close>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function TurnButton({
  side,
  label,
  onClick,
}: {
  side: "left" | "right";
  label: string;
  onClick: () => void;
}) {
  return (
    <IconButton
      icon={side}
      label={label}
      onClick={onClick}
      className={`absolute top-1/2 -translate-y-1/2 bg-surface/90 text-ink shadow-card ${side === "left" ? "left-3" : "right-3"}`}
    />
  );
}

interface ContentsProps {
  id: string;
  known: Scored | undefined;
  scale: ScoreScale | undefined;
  marking: Marking | undefined;
  turnButtons: React.ReactNode;
  draft: Draft;
  onSwipe: (towards: "previous" | "next") => void;
  onDeleted: () => void;
}

function Contents({ id, known, scale, marking, turnButtons, draft, onSwipe, onDeleted }: ContentsProps) {
  const toast = useToast();
  const [, navigate] = useLocation();
  const remove = useDeleteImage();
  const [edited, setEdited] = useState<string | null>(null);
  // What "back" has closed without asking is there again.
  const editing = edited === id || keptDrafts.has(id);
  const { data, error, refetch } = useImage(id);
  const picture = data ?? known;

  if (error && !picture) {
    return (
      <div className="flex flex-1 items-center justify-center">
        <Dialog.Title className="sr-only">{id}</Dialog.Title>
        <Failure error={error} onRetry={() => void refetch()} />
      </div>
    );
  }

  const copy = () => {
    const link = `${location.origin}${libraryImagePath(id)}`;
    void navigator.clipboard.writeText(link).then(
      () => toast({ text: "Link copied" }),
      () => toast({ text: "Your browser blocked copying", icon: "warning" }),
    );
  };

  return (
    <>
      <div className="relative h-[58dvh] shrink-0 overflow-hidden bg-sunken md:h-auto md:min-w-0 md:flex-1">
        {picture && (
          <Zoomable key={id} onSwipe={onSwipe}>
            <FullImage picture={picture} format={data?.format} />
          </Zoomable>
        )}
        {turnButtons}
      </div>
      <div className="flex flex-col gap-5 p-5 md:w-80 md:shrink-0 md:overflow-y-auto md:p-6 lg:w-96">
        <div className="pr-10">
          <Dialog.Title className="text-lg leading-snug font-semibold wrap-anywhere">
            {shortName(id)}
          </Dialog.Title>
          {shortName(id) !== id && <p className="mt-0.5 text-sm wrap-anywhere text-muted">{id}</p>}
          <div className="mt-2 flex flex-wrap items-center gap-2 empty:hidden">
            {marking && (
              <ThumbButtons
                name={shortName(id)}
                mark={marking.markOf(id)}
                onMark={(mark) => marking.onMark(id, mark)}
                buttonClass={thumbLook}
              />
            )}
            {/* After the thumbs, so that they do not move when a marked image leaves the results. */}
            {scale && known?.score !== undefined && (
              <p className="rounded-full bg-accent-soft px-3 py-1 text-sm font-medium text-accent tabular-nums">
                {scale.name} {scale.write(known.score)}
              </p>
            )}
          </div>
        </div>
        {data && !editing && (
          <Description words={splitDescription(data.metadata as Metadata).words} tagging={data.tagging} />
        )}
        <div className="flex flex-wrap gap-2">
          <Link
            href={similarUrl(id)}
            className={buttonClass("primary", "w-full")}
            onClick={(event) => {
              if (event.ctrlKey || event.metaKey || !draft.unsaved()) return;
              event.preventDefault();
              draft.leave(() => navigate(similarUrl(id)));
            }}
          >
            <Icon name="sparkle" className="size-[1.125rem]" />
            More like this
          </Link>
          <Button
            icon="download"
            className="flex-1"
            disabled={!picture}
            onClick={() => {
              if (picture)
                download(picture).catch((failure: unknown) =>
                  toast({ text: errorText(failure), icon: "warning" }),
                );
            }}
          >
            Download
          </Button>
          <Button icon="link" className="flex-1" onClick={copy}>
            Copy link
          </Button>
        </div>
        <section aria-labelledby="metadata-title">
          <div className="mb-2 flex min-h-10 items-center justify-between">
            <h3 id="metadata-title" className="font-semibold">
              Metadata
            </h3>
            {!editing && data && (
              <Button variant="quiet" icon="edit" className="-mr-3" onClick={() => setEdited(id)}>
                Edit
              </Button>
            )}
          </div>
          {editing && data ? (
            <Suspense fallback={null}>
              <Editor key={id} image={data} draft={draft} onDone={() => setEdited(null)} />
            </Suspense>
          ) : (
            <MetadataTable metadata={data && splitDescription(data.metadata as Metadata).others} />
          )}
        </section>
        {data && (
          <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 border-t border-line pt-4 text-sm">
            <dt className="text-muted">Size</dt>
            <dd className="text-right tabular-nums">
              {data.width} × {data.height}
            </dd>
            <dt className="text-muted">Format</dt>
            <dd className="text-right">{data.format}</dd>
            <dt className="text-muted">Added</dt>
            <dd className="text-right">{moment(data.indexed_at)}</dd>
          </dl>
        )}
        <Button
          variant="danger"
          icon="trash"
          className="self-start md:-ml-4"
          onClick={() => {
            remove(id);
            keptDrafts.forget(id);
            onDeleted();
          }}
        >
          Delete
        </Button>
      </div>
    </>
  );
}

const thumbLook = (pressed: boolean) =>
  `inline-flex size-10 items-center justify-center rounded-full border transition-colors pointer-coarse:size-11 ${
    pressed
      ? "border-accent bg-accent text-on-accent"
      : "border-line text-muted hover:bg-sunken hover:text-ink"
  }`;
