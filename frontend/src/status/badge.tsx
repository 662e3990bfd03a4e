import type { Condition } from "@/status/condition";

const TONES: Record<Condition["tone"], string> = {
  good: "bg-good-soft text-good",
  warn: "bg-warn-soft text-warn",
  bad: "bg-danger-soft text-danger",
};

/** A word for a condition, in a colour of the same meaning. */
export function Badge({ tone, text }: Condition) {
  return (
    <span
      className={`inline-flex items-center gap-1.5 rounded-full px-2.5 py-1 text-xs font-medium ${TONES[tone]}`}
    >
      <span className="size-1.5 rounded-full bg-current" />
      {text}
    </span>
  );
}
