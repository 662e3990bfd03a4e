import type { ReactNode } from "react";
import { isRetryable, Problem, errorText, Unreachable } from "@/api/problem";
import { Button } from "@/ui/button";
import { Icon, type IconName } from "@/ui/icons";

interface NoteProps {
  icon: IconName;
  title: string;
  children?: ReactNode;
  actions?: ReactNode;
  tone?: "calm" | "bad";
}

/** An empty state: why there is nothing to show, and what to do. */
export function Note({ icon, title, children, actions, tone = "calm" }: NoteProps) {
  const colours = tone === "bad" ? "bg-danger-soft text-danger" : "bg-accent-soft text-accent";
  return (
    <div className="mx-auto flex max-w-md animate-rise flex-col items-center px-4 py-14 text-center">
      <span className={`mb-5 flex size-14 items-center justify-center rounded-2xl ${colours}`}>
        <Icon name={icon} className="size-7" />
      </span>
      <h2 className="text-lg font-semibold text-balance">{title}</h2>
      {children !== undefined && <div className="mt-2 text-pretty text-muted">{children}</div>}
      {actions !== undefined && <div className="mt-6 flex flex-wrap justify-center gap-2">{actions}</div>}
    </div>
  );
}

const TITLES: Record<string, string> = {
  image_undecodable: "This image is damaged",
  unsupported_format: "We can't read this image",
  image_too_large: "This image is too large",
  body_too_large: "This file is too large",
  image_not_found: "This image is not in the library",
  overloaded: "The server is busy",
  store_unavailable: "Something on the server isn't responding",
  disk_full: "The server's disk is full",
  unauthorized: "This server needs an API key",
};

/** A failure, in the server's own words, with a way to go on; to try again is offered only if that may help. */
export function Failure({
  error,
  onRetry,
  actions,
}: {
  error: unknown;
  onRetry?: () => void;
  actions?: ReactNode;
}) {
  const lost = error instanceof Unreachable;
  const title = lost
    ? "Can't reach the server"
    : ((error instanceof Problem ? TITLES[error.code] : undefined) ?? "Something went wrong");
  return (
    <div role="alert">
      <Note
        icon={lost ? "retry" : "warning"}
        tone="bad"
        title={title}
        actions={
          <>
            {onRetry && isRetryable(error) && (
              <Button icon="retry" onClick={onRetry}>
                Try again
              </Button>
            )}
            {actions}
          </>
        }
      >
        {errorText(error)}
      </Note>
    </div>
  );
}
