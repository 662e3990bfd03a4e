import { Link } from "wouter";
import { useNewest, useStats } from "@/api/queries";
import { plural } from "@/format";
import { useSearchState } from "@/query/use-search-state";
import { SearchBox } from "@/search/search-box";
import { ImagePickerButtons } from "@/search/image-picker";
import { similarUrl } from "@/query/search-state";
import { buttonClass } from "@/ui/button";
import { Icon } from "@/ui/icons";
import { Failure } from "@/ui/notes";
import { shortcutKey } from "@/ui/keys";
import { ratioOf } from "@/ui/layout";
import { Thumbnail } from "@/ui/picture";
import { PATHS } from "@/paths";

export function StartPage() {
  const [state, update] = useSearchState();
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
          Search {images ? plural(images, "image") : "images"} with a picture or a few words.
        </p>
        <div className="mt-8 text-left sm:mt-10">
          <SearchBox state={state} update={update} />
        </div>
        <div className="mt-4 rounded-[2rem] border-2 border-dashed border-line bg-surface px-6 py-8 transition-colors hover:border-accent sm:py-10">
          <Illustration />
          <div className="mt-6 flex flex-wrap justify-center gap-2">
            <ImagePickerButtons />
          </div>
          <p className="mt-4 text-sm text-muted pointer-coarse:hidden">
            or drop one anywhere on this page, or paste it with <Key>{shortcutKey(navigator.userAgent)}</Key>{" "}
            <Key>V</Key>
          </p>
        </div>
      </section>
      {newest.isError && <Failure error={newest.error} onRetry={() => void newest.refetch()} />}
      {newest.data?.images.length === 0 && (
        <section className="mx-auto mt-12 flex max-w-3xl flex-col items-center gap-4 rounded-3xl bg-accent-soft px-6 py-8 text-center">
          <h2 className="font-semibold">Nothing to search yet</h2>
          <p className="text-sm text-muted">Add some images or a whole folder.</p>
          <Link href={PATHS.library} className={buttonClass("primary")}>
            <Icon name="upload" className="size-[1.125rem]" />
            Add images
          </Link>
        </section>
      )}
      {newest.data && newest.data.images.length > 0 && (
        <section className="mt-14 sm:mt-20" aria-labelledby="begin-with">
          <h2 id="begin-with" className="mb-4 text-sm font-medium text-muted">
            Or start from one of these
          </h2>
          <ul role="list" className="flex flex-wrap gap-2 sm:gap-3">
            {newest.data.images.map((image) => (
              <li
                key={image.image_id}
                className="relative h-24 flex-auto sm:h-36"
                style={{ aspectRatio: ratioOf(image) }}
              >
                <Link
                  href={similarUrl(image.image_id)}
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
function Illustration() {
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
