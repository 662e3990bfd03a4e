import { useState } from "react";
import { imageUrl, useImageSource } from "@/api/images";
import type { Picture } from "@/api/types";

/**
 * A thumbnail that fills its box. The box has its size before a byte is loaded, so nothing moves; until the thumbnail
 * is there the box shows soft colours made of the image's hash, then the image fades in. No
 * blur: without a GPU, blurring a screen of images makes scrolling stutter.
 */
export function Thumbnail({
  image,
  eager = false,
  alt = "",
}: {
  image: Picture;
  eager?: boolean;
  alt?: string;
}) {
  const source = useImageSource(imageUrl("thumbnail", image));
  const [state, setState] = useState<"loading" | "shown" | "failed">("loading");
  return (
    <span className="absolute inset-0 block overflow-hidden" style={{ background: tint(image.sha256) }}>
      {state !== "failed" && source !== undefined && (
        <img
          src={source}
          alt={alt}
          loading={eager ? "eager" : "lazy"}
          decoding="async"
          draggable={false}
          onLoad={() => setState("shown")}
          onError={() => setState("failed")}
          className={`size-full object-cover transition-opacity duration-300 ${
            state === "shown" ? "" : "opacity-0"
          }`}
        />
      )}
    </span>
  );
}

/** Two soft colours that are an image's own. */
export function tint(sha256: string): string {
  const hue = (parseInt(sha256.slice(0, 4), 16) || 0) % 360;
  const other = (hue + 50) % 360;
  return `linear-gradient(135deg, oklch(0.72 0.05 ${hue}), oklch(0.6 0.06 ${other}))`;
}
