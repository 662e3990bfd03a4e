import { useRef } from "react";
import { isImage } from "@/library/files";
import { useUploads } from "@/library/uploads-context";
import { useToast } from "@/ui/toasts";
import { Button } from "@/ui/button";

/** Files, or a whole folder with all that is in it. */
export function AddImages() {
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const uploads = useUploads();
  const toast = useToast();
  const take = (input: HTMLInputElement) => {
    const chosen = Array.from(input.files ?? []);
    input.value = "";
    const images = chosen.filter(isImage);
    if (images.length > 0) uploads.add(images);
    else if (chosen.length > 0) toast({ text: "There is no image among these.", icon: "warning" });
  };
  return (
    <div className="flex flex-wrap gap-2">
      <Button variant="primary" icon="upload" onClick={() => files.current?.click()}>
        Add images
      </Button>
      <Button icon="folder" onClick={() => folder.current?.click()}>
        Add a folder
      </Button>
      <input
        ref={files}
        type="file"
        multiple
        accept="image/*,.heic,.heif"
        aria-label="Images to add"
        className="sr-only"
        tabIndex={-1}
        onChange={(event) => take(event.target)}
      />
      <input
        ref={folder}
        type="file"
        // Not in React's types, but in every browser on a computer.
        {...{ webkitdirectory: "" }}
        aria-label="Folder to add"
        className="sr-only"
        tabIndex={-1}
        onChange={(event) => take(event.target)}
      />
    </div>
  );
}
