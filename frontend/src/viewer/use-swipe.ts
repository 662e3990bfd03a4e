import { type TouchEvent, useRef } from "react";
import { type Point, swipeOf } from "@/viewer/swipe";

/** What to put on an element over which a finger leafs. Two fingers zoom, and one moves what is zoomed. */
export function useSwipe(onSwipe: (towards: "previous" | "next") => void) {
  const from = useRef<Point | null>(null);
  return {
    onTouchStart: ({ touches }: TouchEvent) => {
      const finger = touches[0];
      const zoomed = (visualViewport?.scale ?? 1) > 1.01;
      from.current =
        finger && touches.length === 1 && !zoomed ? { x: finger.clientX, y: finger.clientY } : null;
    },
    onTouchEnd: ({ changedTouches }: TouchEvent) => {
      const finger = changedTouches[0];
      const towards =
        finger && from.current && swipeOf(from.current, { x: finger.clientX, y: finger.clientY });
      from.current = null;
      if (towards) onSwipe(towards);
    },
    onTouchCancel: () => {
      from.current = null;
    },
  };
}
