import { useEffect, useMemo, useRef, useState } from "react";
import { keptDrafts } from "@/viewer/kept-drafts";

export interface Draft {
  /** Whether something was typed that is not saved. */
  unsaved: () => boolean;
  /** Told by the editor with every change. */
  setUnsaved: (unsaved: boolean) => void;
  /** Runs a step that closes the editor: at once if nothing would be lost, else after the person has decided. */
  leave: (step: () => void) => void;
  /** Whether something waits for that decision. */
  asked: boolean;
  /** Goes on with what waits. */
  go: () => void;
  /** Forgets what waits. */
  stay: () => void;
}

/** Sees to it that leaving an editor throws nothing away unasked. */
export function useDraft(): Draft {
  const unsaved = useRef(false);
  const [waiting, setWaiting] = useState<(() => void) | null>(null);
  useEffect(() => {
    const ask = (event: BeforeUnloadEvent) => {
      if (unsaved.current || keptDrafts.size > 0) event.preventDefault();
    };
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, []);
  return useMemo(
    () => ({
      unsaved: () => unsaved.current,
      setUnsaved: (now: boolean) => {
        unsaved.current = now;
      },
      leave: (step: () => void) => {
        if (unsaved.current) setWaiting(() => step);
        else step();
      },
      asked: waiting !== null,
      go: () => {
        unsaved.current = false;
        setWaiting(null);
        waiting?.();
      },
      stay: () => setWaiting(null),
    }),
    [waiting],
  );
}
