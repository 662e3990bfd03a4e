import { type RefCallback, useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";

/** The width of an element, kept up to date. */
export function useWidth(): [RefCallback<HTMLElement>, number] {
  const [width, setWidth] = useState(0);
  const observer = useRef<ResizeObserver | null>(null);
  const ref = useCallback((element: HTMLElement | null) => {
    observer.current?.disconnect();
    if (!element) return;
    setWidth(element.clientWidth);
    observer.current = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.current.observe(element);
  }, []);
  return [ref, width];
}

/** The value once it has been the same for a while. */
export function useDebounced<T>(value: T, delayMs: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), delayMs);
    return () => clearTimeout(timer);
  }, [value, delayMs]);
  return settled;
}

/** A value that a slider changes at once, and that is handed on when it rests. */
export function useDebouncedControl<T>(value: T, onRest: (value: T) => void): [T, (value: T) => void] {
  const [current, setCurrent] = useState(value);
  useEffect(() => setCurrent(value), [value]);
  const settled = useDebounced(current, 300);
  useEffect(() => {
    if (settled !== value) onRest(settled);
    // Only when the slider has moved: not because the value has been changed by something else.
  }, [settled]);
  return [current, setCurrent];
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title ? `${title} · Image Similarity` : "Image Similarity";
  }, [title]);
}

const coarsePointer = () => matchMedia("(pointer: coarse)");

/** Whether a finger does what a mouse does elsewhere. */
export function useCoarsePointer(): boolean {
  return useSyncExternalStore(
    (changed) => {
      const query = coarsePointer();
      query.addEventListener("change", changed);
      return () => query.removeEventListener("change", changed);
    },
    () => coarsePointer().matches,
  );
}
