import { useCallback, useLayoutEffect, useMemo, useRef } from "react";
import { useLocation, useSearch as useAddress } from "wouter";
import { searchParams, parseSearch, type SearchState } from "@/query/search-state";
import { PATHS } from "@/paths";

/** An address with another image in the viewer, or none. */
export function withView(path: string, search: string, id: string | null): string {
  const params = new URLSearchParams(search);
  if (id === null) params.delete("view");
  else params.set("view", id);
  const text = params.toString();
  return `${path}${text && `?${text}`}`;
}

/**
 * The search in the address bar, and how to change it. A change of the query is a step that "back" undoes, and closes the
 * viewer; anything else is neither.
 */
export function useSearchState() {
  const address = useAddress();
  const [, navigate] = useLocation();
  const state = useMemo(() => parseSearch(address), [address]);
  const update = useCallback(
    (change: Partial<SearchState>) => {
      const before = searchParams(parseSearch(location.search));
      const after = searchParams({ ...parseSearch(location.search), ...change });
      if (after === before) return;
      const viewed = new URLSearchParams(location.search).get("view");
      if (change.parts !== undefined) navigate(`${PATHS.search}${after}`);
      else
        navigate(withView(PATHS.search, after, viewed), { replace: true, state: history.state as unknown });
    },
    [navigate],
  );
  return [state, update] as const;
}

const addressOf = (id: string | null) => withView(location.pathname, location.search, id);

/** The image in the viewer is in the address too: a link to it works, and "back" closes it. */
export function useViewed() {
  const address = useAddress();
  const [path, navigate] = useLocation();
  const viewed = useMemo(() => new URLSearchParams(address).get("view"), [address]);

  const open = useCallback((id: string) => navigate(addressOf(id), { state: { opened: true } }), [navigate]);
  /** Another image in the same viewer is no step of its own. */
  const turn = useCallback(
    (id: string) => navigate(addressOf(id), { replace: true, state: history.state as unknown }),
    [navigate],
  );
  const close = useCallback(() => {
    if ((history.state as { opened?: boolean } | null)?.opened) history.back();
    else navigate(addressOf(null), { replace: true });
  }, [navigate]);

  return { path, viewed, open, turn, close };
}

/** Keeps marks that were made in the viewer when "back" closes it and returns to the earlier address. */
export function useKeepMarksOnBack() {
  const address = useAddress();
  const [, navigate] = useLocation();
  const before = useRef(addressOf(null));
  // Before the next paint, so that the earlier results never show.
  useLayoutEffect(() => {
    const latest = addressOf(null);
    return () => {
      if (new URLSearchParams(location.search).has("view")) return;
      // Not if the person went to another page, as by a link.
      const here = addressOf(null);
      if (here === before.current && here !== latest) navigate(latest, { replace: true });
    };
  }, [address, navigate]);
}
