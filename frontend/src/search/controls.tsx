import { useState } from "react";
import { useFacets } from "@/api/queries";
import { describe, type Rule } from "@/search/filter";
import { FilterBuilder } from "@/search/filter-builder";
import { COUNTS } from "@/search/state";
import { Button } from "@/ui/button";
import { Icon } from "@/ui/icons";
import { Slider } from "@/ui/slider";

interface Props {
  count: number;
  /** null where there are no scores to choose by. */
  least: number | null;
  rules: Rule[];
  onCount: (count: number) => void;
  onLeast: (least: number) => void;
  onRules: (rules: Rule[]) => void;
}

/** The sliders and the filter; on a phone behind a button, beside the results where there is room. */
export function Controls({ count, least, rules, onCount, onLeast, onRules }: Props) {
  const [open, setOpen] = useState(false);
  const facets = useFacets(true);
  const fields = facets.data?.fields ?? [];
  return (
    <>
      <div className="flex flex-wrap items-center gap-2 lg:hidden">
        <Button icon="filter" aria-expanded={open} onClick={() => setOpen(!open)}>
          Refine
        </Button>
        {rules.map((rule, index) => (
          <span key={index} className="rounded-full bg-accent-soft px-3 py-1 text-sm text-accent">
            {describe(rule)}
          </span>
        ))}
      </div>
      <div className={`space-y-6 ${open ? "" : "max-lg:hidden"}`}>
        <div className="card space-y-4 p-4">
          <Slider
            label="Results"
            min={COUNTS.min}
            max={COUNTS.max}
            step={1}
            value={count}
            shown={`at most ${count}`}
            onChange={onCount}
          />
          {least !== null && (
            <Slider
              label="Least score"
              min={0}
              max={1}
              step={0.01}
              value={least}
              shown={least === 0 ? "any" : least.toFixed(2)}
              onChange={onLeast}
            />
          )}
        </div>
        {(fields.length > 0 || rules.length > 0) && (
          <section className="card p-4" aria-labelledby="filter-title">
            <h2 id="filter-title" className="mb-3 flex items-center gap-2 text-sm font-medium">
              <Icon name="filter" className="size-4 text-muted" />
              Filter
            </h2>
            <FilterBuilder fields={fields} rules={rules} onChange={onRules} />
          </section>
        )}
      </div>
    </>
  );
}
