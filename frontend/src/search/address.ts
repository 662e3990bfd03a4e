import { useCallback, useMemo } from "react";
import { useLocation, useSearch as useAddress } from "wouter";
import { format, parse, type SearchState } from "@/search/state";

/** The search in the address bar, and how to change it. A change of the query is a step that "back" undoes. */
export function useSearchState() {
  const address = useAddress();
  const [, navigate] = useLocation();
  const state = useMemo(() => parse(address), [address]);
  const update = useCallback(
    (change: Partial<SearchState>) => {
      const before = format(parse(location.search));
      const after = format({ ...parse(location.search), ...change });
      if (after !== before) navigate(`/${after}`, { replace: change.parts === undefined });
    },
    [navigate],
  );
  return [state, update] as const;
}

/** The image in the viewer is in the address too: it can be sent to somebody, and "back" closes it. */
export function useViewed() {
  const address = useAddress();
  const [path, navigate] = useLocation();
  const viewed = useMemo(() => new URLSearchParams(address).get("view"), [address]);

  const addressOf = useCallback((id: string | null) => {
    const params = new URLSearchParams(location.search);
    if (id === null) params.delete("view");
    else params.set("view", id);
    const text = params.toString();
    return `${location.pathname}${text && `?${text}`}`;
  }, []);

  const open = useCallback(
    (id: string) => navigate(addressOf(id), { state: { opened: true } }),
    [addressOf, navigate],
  );
  /** Another image in the same viewer is no step of its own. */
  const turn = useCallback(
    (id: string) => navigate(addressOf(id), { replace: true, state: history.state as unknown }),
    [addressOf, navigate],
  );
  const close = useCallback(() => {
    if ((history.state as { opened?: boolean } | null)?.opened) history.back();
    else navigate(addressOf(null), { replace: true });
  }, [addressOf, navigate]);

  return { path, viewed, open, turn, close };
}
