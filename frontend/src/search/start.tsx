import { useRef } from "react";
import { Link } from "wouter";
import { useNewest, useStats } from "@/api/queries";
import { plural } from "@/format";
import { useSearchWith } from "@/search/search-with";
import { likeThis } from "@/search/state";
import { Button, buttonClass } from "@/ui/button";
import { Icon } from "@/ui/icons";
import { Failure } from "@/ui/notes";
import { ratioOf } from "@/ui/layout";
import { Thumbnail } from "@/ui/picture";

/** The ways to bring an image that are no dragging and no pasting. */
export function PickButtons({ compact = false }: { compact?: boolean }) {
  const file = useRef<HTMLInputElement>(null);
  const camera = useRef<HTMLInputElement>(null);
  const searchWith = useSearchWith();
  const take = (input: HTMLInputElement) => {
    const chosen = input.files?.[0];
    // The same file may be chosen again.
    input.value = "";
    if (chosen) void searchWith(chosen);
  };
  return (
    <>
      <Button
        look="primary"
        icon="image"
        aria-label={compact ? "Choose another image" : undefined}
        onClick={() => file.current?.click()}
      >
        {compact ? "Image" : "Choose an image"}
      </Button>
      <Button icon="camera" className="pointer-fine:hidden" onClick={() => camera.current?.click()}>
        {compact ? "Photo" : "Take a photo"}
      </Button>
      <input
        ref={file}
        type="file"
        accept="image/*,.heic,.heif"
        aria-label="Image to search with"
        className="sr-only"
        tabIndex={-1}
        onChange={(event) => take(event.target)}
      />
      <input
        ref={camera}
        type="file"
        accept="image/*"
        capture="environment"
        aria-label="Photo to search with"
        className="sr-only"
        tabIndex={-1}
        onChange={(event) => take(event.target)}
      />
    </>
  );
}

export function Start() {
  const stats = useStats();
  const newest = useNewest(18);
  const images = stats.data?.collection.images;
  return (
    <div className="mx-auto w-full max-w-[88rem] flex-1 px-4 pb-16 sm:px-6 lg:px-8">
      <section className="mx-auto max-w-3xl pt-10 text-center sm:pt-20">
        <h1 className="text-4xl font-semibold tracking-tight text-balance sm:text-6xl">
          Find what{" "}
          <span className="bg-gradient-to-r from-accent to-warm bg-clip-text text-transparent">
            looks like
          </span>{" "}
          it
        </h1>
        <p className="mx-auto mt-4 max-w-xl text-pretty text-muted sm:text-lg">
          <span className="pointer-coarse:hidden">Drop an image anywhere on this page</span>
          <span className="pointer-fine:hidden">Take a photo or choose one</span>, and see the images that
          resemble it most
          {images ? `, out of ${plural(images, "image")}` : ""}.
        </p>
        <div className="mt-8 rounded-[2rem] border-2 border-dashed border-line bg-surface px-6 py-10 transition-colors hover:border-accent sm:mt-10 sm:py-14">
          <Stack />
          <div className="mt-6 flex flex-wrap justify-center gap-2">
            <PickButtons />
          </div>
          <p className="mt-4 text-sm text-muted pointer-coarse:hidden">
            or drag one here, or paste it with <Key>Ctrl</Key> <Key>V</Key>
          </p>
        </div>
      </section>
      {newest.isError && <Failure error={newest.error} onRetry={() => void newest.refetch()} />}
      {newest.data?.images.length === 0 && (
        <section className="mx-auto mt-12 flex max-w-3xl flex-col items-center gap-4 rounded-3xl bg-accent-soft px-6 py-8 text-center">
          <h2 className="font-semibold">The collection is still empty</h2>
          <p className="text-sm text-muted">
            Add the images that searches are to look through; a whole folder at once if you like.
          </p>
          <Link href="/library" className={buttonClass("primary")}>
            <Icon name="upload" className="size-[1.125rem]" />
            Add images
          </Link>
        </section>
      )}
      {newest.data && newest.data.images.length > 0 && (
        <section className="mt-14 sm:mt-20" aria-labelledby="begin-with">
          <h2 id="begin-with" className="mb-4 text-sm font-medium text-muted">
            Or begin with one of these
          </h2>
          <ul role="list" className="flex flex-wrap gap-2 sm:gap-3">
            {newest.data.images.map((image) => (
              <li
                key={image.image_id}
                className="relative h-24 flex-auto sm:h-36"
                style={{ aspectRatio: ratioOf(image) }}
              >
                <Link
                  href={likeThis(image.image_id)}
                  aria-label={`More like ${image.image_id}`}
                  title={image.image_id}
                  className="absolute inset-0 overflow-hidden rounded-2xl transition-transform duration-300 hover:-translate-y-1"
                >
                  <Thumbnail image={image} />
                </Link>
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}

/** Three overlapping cards: what this is about, without a word. */
function Stack() {
  return (
    <svg viewBox="0 0 160 96" className="mx-auto h-24" aria-hidden>
      <g className="fill-accent-soft stroke-accent" strokeWidth="2">
        <rect x="22" y="22" width="60" height="60" rx="12" transform="rotate(-9 52 52)" />
        <rect
          x="78"
          y="22"
          width="60"
          height="60"
          rx="12"
          transform="rotate(9 108 52)"
          className="fill-warm/20 stroke-warm"
        />
        <rect x="48" y="12" width="64" height="64" rx="13" className="fill-surface" />
      </g>
      <circle cx="66" cy="32" r="6" className="fill-warm" />
      <path d="M52 66l16-18 11 11 9-8 18 17a7 7 0 0 1-4 1H57a7 7 0 0 1-5-3Z" className="fill-accent" />
    </svg>
  );
}

function Key({ children }: { children: string }) {
  return (
    <kbd className="rounded-md border border-line bg-sunken px-1.5 py-0.5 font-sans text-xs text-ink">
      {children}
    </kbd>
  );
}
