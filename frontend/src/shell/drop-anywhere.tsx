import { type ReactNode, useEffect } from "react";
import { useDropzone } from "react-dropzone";
import { useLocation } from "wouter";
import { isImage } from "@/library/files";
import { useUploads } from "@/library/uploads-context";
import { useSearchWith } from "@/query/use-search-with-file";
import { useToast } from "@/ui/toasts";
import { Icon } from "@/ui/icons";
import { PATHS } from "@/paths";

/**
 * The whole page takes images. One that is dropped or pasted starts a search, except in the library, which adds it. Several
 * at once are added on every page.
 */
export function DropAnywhere({ children }: { children: ReactNode }) {
  const [location, navigate] = useLocation();
  const searchWith = useSearchWith();
  const uploads = useUploads();
  const toast = useToast();
  const inLibrary = location === PATHS.library;

  const take = (files: File[]) => {
    const images = files.filter(isImage);
    const [first] = images;
    if (!first) {
      if (files.length > 0) toast({ text: "That's not an image", icon: "warning" });
      return;
    }
    if (images.length === 1 && !inLibrary) {
      void searchWith(first);
      return;
    }
    uploads.add(images);
    if (!inLibrary) navigate(PATHS.library);
  };

  const { getRootProps, isDragActive } = useDropzone({
    onDrop: take,
    noClick: true,
    noKeyboard: true,
    // Windows of the browser's own would read a folder's names one by one; the dropped ones are enough here.
    useFsAccessApi: false,
  });

  useEffect(() => {
    const paste = (event: ClipboardEvent) => {
      const files = Array.from(event.clipboardData?.files ?? []);
      if (files.length === 0) return;
      event.preventDefault();
      take(files);
    };
    document.addEventListener("paste", paste);
    return () => document.removeEventListener("paste", paste);
  });

  return (
    // Only a place to drop on: it takes no part in what a keyboard or a screen reader does.
    <div {...getRootProps({ role: undefined, tabIndex: undefined, className: "flex min-h-dvh flex-col" })}>
      {children}
      {isDragActive && (
        <div className="pointer-events-none fixed inset-0 z-50 animate-fade bg-accent/15 p-4 backdrop-blur-sm sm:p-8">
          <div className="flex h-full flex-col items-center justify-center rounded-[2rem] border-[3px] border-dashed border-accent bg-surface/85 text-center">
            <Icon name={inLibrary ? "upload" : "search"} className="size-14 text-accent" />
            <p className="mt-5 text-2xl font-semibold tracking-tight">
              {inLibrary ? "Drop to add to the library" : "Drop to search"}
            </p>
            <p className="mt-1 text-muted">
              {inLibrary ? "Images and whole folders" : "Drop several images to add them to the library"}
            </p>
          </div>
        </div>
      )}
    </div>
  );
}
