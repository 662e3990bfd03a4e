import { useRef } from "react";
import { isImage } from "@/library/files";
import { useUploads } from "@/library/uploads-context";
import { useToast } from "@/ui/toasts";
import { Button } from "@/ui/button";
import { FileInput } from "@/ui/file-input";

/** Files, or a whole folder with all that is in it. */
export function AddImages() {
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const uploads = useUploads();
  const toast = useToast();
  const take = (chosen: File[]) => {
    const images = chosen.filter(isImage);
    if (images.length > 0) uploads.add(images);
    else if (chosen.length > 0) toast({ text: "None of these files is an image", icon: "warning" });
  };
  return (
    <div className="flex flex-wrap gap-2">
      <Button variant="primary" icon="upload" onClick={() => files.current?.click()}>
        Add images
      </Button>
      <Button icon="folder" onClick={() => folder.current?.click()}>
        Add a folder
      </Button>
      <FileInput ref={files} label="Images to add" multiple accept="image/*,.heic,.heif" onFiles={take} />
      <FileInput
        ref={folder}
        label="Folder to add"
        // Not in React's types, but in every browser on a computer.
        {...{ webkitdirectory: "" }}
        onFiles={take}
      />
    </div>
  );
}
