import { useState } from "react";
import { useFacets } from "@/api/queries";
import type { Facet } from "@/api/types";
import { percent } from "@/format";
import type { Mode, Strategy } from "@/query/modes";
import { describe } from "@/query/metadata-filter";
import { FilterBuilder } from "@/search/filter-builder";
import { groupings } from "@/query/grouping";
import { COUNTS, type SearchState } from "@/query/search-state";
import { canVary } from "@/query/strategy";
import { Button } from "@/ui/button";
import { useResting } from "@/ui/hooks";
import { Icon } from "@/ui/icons";
import { Slider } from "@/ui/slider";
import { Toggle } from "@/ui/toggle";

interface Props {
  state: SearchState;
  update: (change: Partial<SearchState>) => void;
  mode: Mode;
  /** How marks shape the ranking; null where nothing is marked. */
  strategy: Strategy | null;
  /** These two act on what is there at once. */
  count: number;
  onCount: (count: number) => void;
  least: number;
  onLeast: (least: number) => void;
  /** Where the server let the results end, if it was to. */
  cut: number | null | undefined;
}

/** What of the results is shown and how; on a phone behind a button, beside the results where there is room. */
export function Controls(props: Props) {
  const { state, update } = props;
  const { rules } = state;
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
      <div className={`space-y-5 ${open ? "" : "max-lg:hidden"}`}>
        {(fields.length > 0 || rules.length > 0) && (
          <section className="card p-4" aria-labelledby="filter-title">
            <h2 id="filter-title" className="mb-3 flex items-center gap-2 text-sm font-medium">
              <Icon name="filter" className="size-4 text-muted" />
              Filter
            </h2>
            <FilterBuilder fields={fields} rules={rules} onChange={(changed) => update({ rules: changed })} />
          </section>
        )}
        <HowMany {...props} />
        <HowArranged {...props} fields={fields} />
      </div>
    </>
  );
}

function HowMany({ state, update, mode, count, onCount, least, onLeast, cut }: Props) {
  const found = cut === undefined ? "" : cut === null ? "nothing to cut by" : cut.toFixed(2);
  return (
    <div className="card space-y-4 p-4">
      <Slider
        label={state.group === null ? "Results" : "Groups"}
        min={COUNTS.min}
        max={COUNTS.max}
        step={1}
        value={count}
        shown={`at most ${count}`}
        onChange={onCount}
      />
      {/* The scores of the other modes say nothing by themselves. */}
      {mode === "look" && (
        <>
          <Slider
            label="Least score"
            min={0}
            max={1}
            step={0.01}
            value={state.auto ? (cut ?? 0) : least}
            shown={state.auto ? found : least === 0 ? "any" : least.toFixed(2)}
            disabled={state.auto}
            onChange={onLeast}
          />
          <Toggle label="Stop where scores drop" checked={state.auto} onChange={(auto) => update({ auto })} />
        </>
      )}
    </div>
  );
}

function HowArranged({ state, update, mode, strategy, fields }: Props & { fields: Facet[] }) {
  const [variety, setVariety] = useResting(state.variety, (rested) => update({ variety: rested }));
  const groups = groupings(fields);
  const varied = canVary(strategy);
  const others = state.group !== null && !groups.some(({ field }) => field === state.group);
  return (
    <div className="card space-y-4 p-4">
      {mode === "look" && (
        <Slider
          label="Variety"
          min={0}
          max={1}
          step={0.05}
          value={varied ? variety : 0}
          shown={!varied ? "not with “Nearest”" : variety === 0 ? "none" : percent(variety)}
          disabled={!varied}
          onChange={setVariety}
        />
      )}
      <Toggle label="Fold near-duplicates" checked={state.fold} onChange={(fold) => update({ fold })} />
      {(groups.length > 0 || others) && (
        <label className="flex items-center justify-between gap-3 text-sm">
          <span className="shrink-0">Group by</span>
          <select
            className="field max-w-40 min-w-0"
            value={state.group ?? ""}
            onChange={({ target: { value } }) => {
              const step = groups.find(({ field }) => field === value)?.step ?? null;
              update({ group: value || null, step });
            }}
          >
            <option value="">nothing</option>
            {others && <option value={state.group ?? ""}>{state.group}</option>}
            {groups.map(({ field }) => (
              <option key={field} value={field}>
                {field}
              </option>
            ))}
          </select>
        </label>
      )}
    </div>
  );
}
