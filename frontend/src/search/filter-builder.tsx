import { useEffect, useId, useState } from "react";
import type { Facet } from "@/api/types";
import { count as formatCount } from "@/format";
import { readRange, type Rule, type Scalar, showBound } from "@/query/metadata-filter";
import { IconButton } from "@/ui/button";
import { useDebounced } from "@/ui/hooks";

interface Props {
  fields: Facet[];
  rules: Rule[];
  onChange: (rules: Rule[]) => void;
}

/** One line per condition, with the fields and values that the collection has. */
export function FilterBuilder({ fields, rules, onChange }: Props) {
  const replace = (index: number, rule: Rule) =>
    onChange(rules.map((old, at) => (at === index ? rule : old)));
  const free = fields.filter(({ field }) => !rules.some((rule) => rule.field === field));
  return (
    <div className="space-y-4">
      {rules.map((rule, index) => (
        <RuleLine
          key={rule.field}
          rule={rule}
          facet={fields.find(({ field }) => field === rule.field)}
          onChange={(changed) => replace(index, changed)}
          onRemove={() => onChange(rules.filter((_, at) => at !== index))}
        />
      ))}
      {free.length > 0 && (
        <select
          aria-label="Add a condition"
          value=""
          className="field"
          onChange={(event) => {
            const facet = free.find(({ field }) => field === event.target.value);
            if (facet) onChange([...rules, fresh(facet)]);
          }}
        >
          <option value="">{rules.length === 0 ? "Choose a field…" : "And…"}</option>
          {free.map(({ field, images }) => (
            <option key={field} value={field}>
              {field} ({formatCount(images)})
            </option>
          ))}
        </select>
      )}
    </div>
  );
}

const hasRange = (facet: Facet) => facet.kind === "number" || facet.kind === "time";

const fresh = (facet: Facet): Rule =>
  hasRange(facet)
    ? { field: facet.field, test: "between", from: null, to: null }
    : { field: facet.field, test: "any", values: [] };

interface RuleLineProps {
  rule: Rule;
  facet: Facet | undefined;
  onChange: (rule: Rule) => void;
  onRemove: () => void;
}

function RuleLine({ rule, facet, onChange, onRemove }: RuleLineProps) {
  const id = useId();
  const { field } = rule;
  return (
    <fieldset className="min-w-0" aria-labelledby={id}>
      <div className="flex items-center gap-1">
        <span id={id} className="min-w-0 flex-1 truncate text-sm font-medium" title={field}>
          {field}
        </span>
        <select
          aria-label={`Condition on ${field}`}
          value={rule.test}
          className="min-h-8 rounded-lg bg-transparent text-sm text-muted"
          onChange={({ target }) => {
            const test = target.value as Rule["test"];
            if (test === "any") onChange({ field, test, values: [] });
            else if (test === "between") onChange({ field, test, from: null, to: null });
            else onChange({ field, test });
          }}
        >
          {(!facet || facet.values.length > 0) && <option value="any">is any of</option>}
          {(!facet || hasRange(facet)) && <option value="between">is between</option>}
          <option value="there">is present</option>
          <option value="missing">is missing</option>
        </select>
        <IconButton
          icon="close"
          label={`Remove the condition on ${field}`}
          className="-mr-2 size-8"
          onClick={onRemove}
        />
      </div>
      {rule.test === "any" && (
        <Values rule={rule} facet={facet} onChange={(values) => onChange({ ...rule, values })} />
      )}
      {rule.test === "between" && (
        <Range
          key={field}
          rule={rule}
          facet={facet}
          onChange={(from, to) => onChange({ ...rule, from, to })}
        />
      )}
    </fieldset>
  );
}

type AnyRule = Extract<Rule, { test: "any" }>;
type BetweenRule = Extract<Rule, { test: "between" }>;

function Values({
  rule,
  facet,
  onChange,
}: {
  rule: AnyRule;
  facet: Facet | undefined;
  onChange: (values: Scalar[]) => void;
}) {
  const offered = facet?.values ?? [];
  // A value that came with a link may be none of the most frequent ones.
  const others = rule.values.filter((value) => !offered.some((one) => one.value === value));
  const all = [...others.map((value) => ({ value, count: null })), ...offered];
  return (
    <ul role="list" className="mt-1 max-h-52 space-y-0.5 overflow-y-auto">
      {all.map(({ value, count }) => {
        const checked = rule.values.includes(value);
        return (
          <li key={`${typeof value} ${value}`}>
            <label className="flex min-h-8 items-center gap-2.5 rounded-lg px-1.5 text-sm hover:bg-sunken">
              <input
                type="checkbox"
                className="size-4 accent-accent"
                checked={checked}
                onChange={() =>
                  onChange(checked ? rule.values.filter((other) => other !== value) : [...rule.values, value])
                }
              />
              <span className="min-w-0 flex-1 truncate">
                {typeof value === "boolean" ? (value ? "yes" : "no") : value}
              </span>
              {count !== null && (
                <span className="text-xs text-muted tabular-nums">{formatCount(count)}</span>
              )}
            </label>
          </li>
        );
      })}
    </ul>
  );
}

interface RangeProps {
  rule: BetweenRule;
  facet: Facet | undefined;
  onChange: (from: number | string | null, to: number | string | null) => void;
}

function Range({ rule, facet, onChange }: RangeProps) {
  const isTime = facet?.kind === "time";
  const [from, setFrom] = useState(showBound(rule.from, isTime));
  const [to, setTo] = useState(showBound(rule.to, isTime));
  const settledFrom = useDebounced(from, 400);
  const settledTo = useDebounced(to, 400);
  useEffect(() => {
    const next = readRange(settledFrom, settledTo, isTime);
    if (next.from !== rule.from || next.to !== rule.to) onChange(next.from, next.to);
    // When the typing rests, and for no other reason.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [settledFrom, settledTo]);
  const { turned } = readRange(settledFrom, settledTo, isTime);
  const ends = [
    { end: "from", value: from, set: setFrom, bound: facet?.min },
    { end: "to", value: to, set: setTo, bound: facet?.max },
  ];
  return (
    <>
      {/* A date needs the whole width, else its year is cut off. */}
      <div className={`mt-1 grid gap-2 text-sm text-muted ${isTime ? "" : "grid-cols-2"}`}>
        {ends.map(({ end, value, set, bound }) => (
          <label key={end} className="flex min-w-0 items-center gap-2">
            <span className={isTime ? "w-9" : "sr-only"} aria-hidden>
              {end}
            </span>
            <input
              type={isTime ? "date" : "number"}
              step="any"
              aria-label={`${rule.field} ${end}`}
              placeholder={showBound(bound ?? null, isTime) || end}
              className="field min-w-0 flex-1"
              value={value}
              onChange={(event) => set(event.target.value)}
            />
          </label>
        ))}
      </div>
      <p role="status" className="mt-1 text-xs text-muted empty:hidden">
        {turned && `Searching from ${settledTo} to ${settledFrom}.`}
      </p>
    </>
  );
}
