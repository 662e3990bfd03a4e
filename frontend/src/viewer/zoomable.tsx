import { type ReactNode, type TouchEvent, useRef, useState } from "react";
import { type Point, swipeOf } from "@/viewer/swipe";
import { dragged, rested, tapped, WHOLE, type Zoom } from "@/viewer/zoom";

const DOUBLE_TAP_MS = 300;
/** Pixels that a finger may move, or be off the first tap, in a tap. */
const STILL = 24;

interface Gesture {
  fingers: Point[];
  zoom: Zoom;
  /** Whether there was one finger only, from its start on. */
  single: boolean;
}

/** A picture that two fingers enlarge, or two taps; then one finger moves it. While it is whole one finger leafs. */
export function Zoomable({
  onSwipe,
  children,
}: {
  onSwipe: (towards: "previous" | "next") => void;
  children: ReactNode;
}) {
  const [zoom, setZoom] = useState(WHOLE);
  // Events come faster than the page is drawn.
  const latest = useRef(WHOLE);
  const gesture = useRef<Gesture | null>(null);
  const lastTap = useRef<(Point & { at: number }) | null>(null);

  const show = (next: Zoom) => setZoom((latest.current = next));
  const begin = (fingers: Point[], single: boolean) => {
    gesture.current = fingers.length > 0 ? { fingers, zoom: latest.current, single } : null;
  };
  const onTouchStart = (event: TouchEvent) => {
    const { fingers } = seen(event, event.touches);
    begin(fingers.slice(0, 2), fingers.length === 1);
  };
  const onTouchMove = (event: TouchEvent) => {
    if (!gesture.current) return;
    const { fingers, box } = seen(event, event.touches);
    const { fingers: from, zoom: before } = gesture.current;
    if (fingers.length >= from.length) show(dragged(before, from, fingers.slice(0, from.length), box));
  };
  const onTouchEnd = (event: TouchEvent) => {
    const ended = gesture.current;
    const { fingers: left } = seen(event, event.touches);
    show(rested(latest.current));
    // A finger that stays goes on moving the picture.
    begin(left.slice(0, 2), false);
    const { fingers, box } = seen(event, event.changedTouches);
    const [from] = ended?.fingers ?? [];
    const [to] = fingers;
    if (!ended?.single || !from || !to) return;
    const towards = ended.zoom.scale > 1 ? null : swipeOf(from, to);
    if (towards) onSwipe(towards);
    else if (isNear(from, to)) tap(to, event.timeStamp, box);
  };
  const tap = (where: Point, at: number, box: DOMRect) => {
    const before = lastTap.current;
    const second = before !== null && at - before.at < DOUBLE_TAP_MS && isNear(before, where);
    lastTap.current = second ? null : { ...where, at };
    if (second) show(tapped(latest.current, where, box));
  };

  return (
    <div
      className={`absolute inset-0 overflow-hidden ${zoom.scale > 1 ? "touch-none" : "touch-pan-y"}`}
      data-testid="zoomable"
      onTouchStart={onTouchStart}
      onTouchMove={onTouchMove}
      onTouchEnd={onTouchEnd}
      onTouchCancel={() => {
        gesture.current = null;
        show(rested(latest.current));
      }}
    >
      <div
        className="flex size-full items-center justify-center"
        style={
          zoom === WHOLE
            ? undefined
            : { transform: `translate(${zoom.x}px, ${zoom.y}px) scale(${zoom.scale})` }
        }
      >
        {children}
      </div>
    </div>
  );
}

/** Where fingers are, in pixels from the centre of the box. */
function seen({ currentTarget }: TouchEvent, touches: TouchEvent["touches"]) {
  const box = currentTarget.getBoundingClientRect();
  const fingers = [...Array(touches.length).keys()].flatMap((index) => touches[index] ?? []);
  return {
    box,
    fingers: fingers.map(({ clientX, clientY }) => ({
      x: clientX - box.left - box.width / 2,
      y: clientY - box.top - box.height / 2,
    })),
  };
}

const isNear = (a: Point, b: Point) => Math.hypot(a.x - b.x, a.y - b.y) < STILL;
