import { useMemo } from "react";
import { useLibrary, useStats } from "@/api/queries";
import { plural } from "@/format";
import { LibraryGrid } from "@/library/grid";
import { AddImages } from "@/library/add-images";
import { UploadPanel } from "@/library/upload-panel";
import { useViewed } from "@/query/use-search-state";
import { useTitle } from "@/ui/hooks";
import { Icon } from "@/ui/icons";
import { Failure, Note } from "@/ui/notes";
import { LazyViewer } from "@/viewer/lazy-viewer";

export default function LibraryPage() {
  useTitle("Library");
  const { open } = useViewed();
  const stats = useStats();
  const library = useLibrary();
  const images = useMemo(() => library.data?.pages.flatMap((page) => page.images) ?? [], [library.data]);
  const total = stats.data?.collection.images;

  return (
    <div className="mx-auto w-full max-w-[140rem] flex-1 px-4 py-6 sm:px-6 lg:px-8 lg:py-8">
      <div className="mb-5 flex flex-wrap items-center justify-between gap-4">
        <div>
          <h1 className="text-2xl font-semibold tracking-tight">Library</h1>
          <p className="text-sm text-muted">
            {total === undefined ? " " : `${plural(total, "image")}, newest first`}
          </p>
        </div>
        <AddImages />
      </div>
      <UploadPanel />
      {library.isError && images.length === 0 ? (
        <Failure error={library.error} onRetry={() => void library.refetch()} />
      ) : library.isSuccess && images.length === 0 ? (
        <Note icon="library" title="No images yet">
          <p>
            Drop images or folders here, or choose them above. You can search them as soon as they are added.
          </p>
        </Note>
      ) : (
        <LibraryGrid
          images={images}
          pending={library.isPending}
          total={Math.max(total ?? 0, images.length)}
          onEnd={() => {
            if (library.hasNextPage && !library.isFetchingNextPage) void library.fetchNextPage();
          }}
          onOpen={open}
        />
      )}
      <p role="status" className="mt-6 flex h-6 items-center justify-center gap-2 text-sm text-muted">
        {library.isFetchingNextPage && (
          <>
            <Icon name="retry" className="size-4 motion-safe:animate-spin" /> Loading more images
          </>
        )}
      </p>
      <LazyViewer pictures={images} />
    </div>
  );
}
