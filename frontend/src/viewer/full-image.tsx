import { useState } from "react";
import { imageUrl, useImageSource } from "@/api/images";
import type { Picture } from "@/api/types";
import { bestPart } from "@/viewer/best-part";
import { tint } from "@/ui/picture";

/** The image over its own thumbnail, which is there at once: nothing moves when it arrives, it only becomes sharp. */
export function FullImage({ picture, format }: { picture: Picture; format: string | undefined }) {
  const url = imageUrl(bestPart(picture, format), picture);
  // The outcome of one URL, because the URL changes when the format is known.
  const [outcome, setOutcome] = useState<{ of: string; state: "shown" | "failed" }>();
  const state = outcome?.of === url ? outcome.state : "loading";
  const thumbnail = useImageSource(imageUrl("thumbnail", picture));
  const full = useImageSource(url);
  const box = "absolute inset-0 size-full object-contain";
  return (
    <>
      <div className="absolute inset-0 opacity-25" style={{ background: tint(picture.sha256) }} />
      {thumbnail !== undefined && (
        <img
          src={thumbnail}
          alt=""
          className={`${box} ${state === "loading" ? "blur-md" : ""} ${state === "shown" ? "invisible" : ""}`}
        />
      )}
      {full !== undefined && state !== "failed" && (
        <img
          src={full}
          alt={picture.image_id}
          className={`${box} transition-opacity duration-300 ${state === "shown" ? "" : "opacity-0"}`}
          onLoad={() => setOutcome({ of: url, state: "shown" })}
          onError={() => setOutcome({ of: url, state: "failed" })}
        />
      )}
      {state === "failed" && (
        <p className="absolute bottom-4 rounded-full bg-black/70 px-4 py-1.5 text-sm text-white">
          Couldn't load the image; this is its thumbnail.
        </p>
      )}
    </>
  );
}
