import type { InputHTMLAttributes, RefObject } from "react";

interface Props extends Omit<InputHTMLAttributes<HTMLInputElement>, "onChange"> {
  ref: RefObject<HTMLInputElement | null>;
  /** The name that screen readers read out. */
  label: string;
  onFiles: (files: File[]) => void;
}

/** A hidden file input: a button opens it through `ref`. */
export function FileInput({ ref, label, onFiles, ...rest }: Props) {
  return (
    <input
      ref={ref}
      type="file"
      aria-label={label}
      className="sr-only"
      tabIndex={-1}
      onChange={({ target }) => {
        const files = Array.from(target.files ?? []);
        // Otherwise the browser would not report the same file a second time.
        target.value = "";
        onFiles(files);
      }}
      {...rest}
    />
  );
}
