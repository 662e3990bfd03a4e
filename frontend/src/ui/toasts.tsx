import { createContext, type ReactNode, useCallback, useContext, useMemo, useRef, useState } from "react";
import { IconButton } from "@/ui/button";
import { Icon, type IconName } from "@/ui/icons";

interface ToastContent {
  text: string;
  icon?: IconName;
  action?: { label: string; run: () => void };
  /** How long it stays; what can be undone stays as long as it can. */
  ms?: number;
}

interface Toast extends ToastContent {
  id: number;
}

const Toasts = createContext<(toast: ToastContent) => void>(() => undefined);

/** Says something in passing. */
export const useToast = () => useContext(Toasts);

export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const next = useRef(0);
  const close = useCallback((id: number) => setToasts((all) => all.filter((toast) => toast.id !== id)), []);
  const show = useCallback(
    (content: ToastContent) => {
      const id = next.current++;
      setToasts((all) => [...all.slice(-2), { ...content, id }]);
      setTimeout(() => close(id), content.ms ?? 4000);
    },
    [close],
  );
  return (
    <Toasts.Provider value={useMemo(() => show, [show])}>
      {children}
      <div
        role="status"
        aria-live="polite"
        data-toasts
        className="pointer-events-none fixed inset-x-0 bottom-0 z-50 flex flex-col items-center gap-2 p-4 pb-[max(1rem,env(safe-area-inset-bottom))]"
      >
        {toasts.map(({ id, text, icon = "check", action }) => (
          <div
            key={id}
            className="pointer-events-auto flex max-w-full animate-rise items-center gap-3 rounded-full bg-ink py-1.5 pr-1.5 pl-4 text-sm text-canvas shadow-card"
          >
            <Icon name={icon} className="size-[1.125rem]" />
            <span className="min-w-0 truncate py-1.5">{text}</span>
            {action && (
              <button
                type="button"
                className="min-h-9 rounded-full px-3 font-semibold whitespace-nowrap underline underline-offset-4 focus-visible:outline-canvas"
                onClick={() => {
                  action.run();
                  close(id);
                }}
              >
                {action.label}
              </button>
            )}
            <IconButton
              icon="close"
              label="Dismiss"
              className="size-9 text-canvas hover:bg-canvas/15 hover:text-canvas focus-visible:outline-canvas"
              onClick={() => close(id)}
            />
          </div>
        ))}
      </div>
    </Toasts.Provider>
  );
}
