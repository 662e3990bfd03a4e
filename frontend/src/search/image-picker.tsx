import { type ReactNode, useRef } from "react";
import { useSearchWith } from "@/query/use-search-with-file";
import { Button, IconButton } from "@/ui/button";
import { FileInput } from "@/ui/file-input";

/** The ways to bring an image that are no dragging and no pasting. */
function ImagePicker({ children }: { children: (choose: () => void, photograph: () => void) => ReactNode }) {
  const file = useRef<HTMLInputElement>(null);
  const camera = useRef<HTMLInputElement>(null);
  const searchWith = useSearchWith();
  const take = ([chosen]: File[]) => {
    if (chosen) void searchWith(chosen);
  };
  return (
    <>
      {children(
        () => file.current?.click(),
        () => camera.current?.click(),
      )}
      <FileInput ref={file} label="Image to search with" accept="image/*,.heic,.heif" onFiles={take} />
      <FileInput
        ref={camera}
        label="Photo to search with"
        accept="image/*"
        capture="environment"
        onFiles={take}
      />
    </>
  );
}

/** With labels, if there is room. */
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
