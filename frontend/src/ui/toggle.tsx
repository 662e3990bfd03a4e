import { type ReactNode, useId } from "react";

interface Props {
  label: string;
  /** What it does, in a few more words. */
  hint?: ReactNode;
  checked: boolean;
  onChange: (checked: boolean) => void;
}

/** A checkbox that looks like a switch: it acts at once. */
export function Toggle({ label, hint, checked, onChange }: Props) {
  const id = useId();
  return (
    <div>
      <label className="flex min-h-8 items-center justify-between gap-3 text-sm">
        <span>{label}</span>
        <input
          type="checkbox"
          role="switch"
          className="switch"
          aria-describedby={hint === undefined ? undefined : id}
          checked={checked}
          onChange={() => onChange(!checked)}
        />
      </label>
      {hint !== undefined && (
        <p id={id} className="mt-0.5 text-xs text-pretty text-muted">
          {hint}
        </p>
      )}
    </div>
  );
}
