import { type ReactNode, useRef } from "react";
import { useSearchWith } from "@/query/use-search-with-file";
import { Button, IconButton } from "@/ui/button";

/** The ways to bring an image that are no dragging and no pasting. */
function ImagePicker({ children }: { children: (choose: () => void, photograph: () => void) => ReactNode }) {
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
      {children(
        () => file.current?.click(),
        () => camera.current?.click(),
      )}
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

/** With words on them, where there is room and nothing else to do. */
export const ImagePickerButtons = () => (
  <ImagePicker>
    {(choose, photograph) => (
      <>
        <Button variant="primary" icon="image" onClick={choose}>
          Choose an image
        </Button>
        <Button icon="camera" className="pointer-fine:hidden" onClick={photograph}>
          Take a photo
        </Button>
      </>
    )}
  </ImagePicker>
);

/** Small, in the search box. */
export const ImagePickerIcons = () => (
  <ImagePicker>
    {(choose, photograph) => (
      <>
        <IconButton icon="image" label="Search with an image" onClick={choose} />
        <IconButton
          icon="camera"
          label="Search with a photo"
          className="pointer-fine:hidden"
          onClick={photograph}
        />
      </>
    )}
  </ImagePicker>
);
