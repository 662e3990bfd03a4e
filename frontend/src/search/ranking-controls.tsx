import { useState } from "react";
import { useFacets } from "@/api/queries";
import type { Facet } from "@/api/types";
import { percent } from "@/format";
import type { Mode, Strategy } from "@/query/modes";
import { describeRule } from "@/query/metadata-filter";
import { FilterBuilder } from "@/search/filter-builder";
import { groupings } from "@/query/grouping";
import { COUNT_RANGE, type SearchState } from "@/query/search-state";
import { supportsDiversity } from "@/query/strategy";
import { Button } from "@/ui/button";
import { useDebouncedControl } from "@/ui/hooks";
import { Icon } from "@/ui/icons";
import { Slider } from "@/ui/slider";
import { Toggle } from "@/ui/toggle";

interface Props {
  state: SearchState;
  update: (change: Partial<SearchState>) => void;
  mode: Mode;
  /** How marks shape the ranking; null if nothing is marked. */
  strategy: Strategy | null;
  /** These two act on what is there at once. */
  count: number;
  onCount: (count: number) => void;
  threshold: number;
  onThreshold: (threshold: number) => void;
  /** The score at which the server ended the results, if it chose. */
  cut: number | null | undefined;
}

/** Which results are shown and how; behind a button on a phone, beside the results on a wide screen. */
export function RankingControls(props: Props) {
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
            {describeRule(rule)}
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
        <CountControls {...props} />
        <ArrangeControls {...props} fields={fields} />
      </div>
    </>
  );
}

function CountControls({ state, update, mode, count, onCount, threshold, onThreshold, cut }: Props) {
  const found = cut === undefined ? "" : cut === null ? "none hidden" : cut.toFixed(2);
  return (
    <div className="card space-y-4 p-4">
      <Slider
        label={state.groupBy === null ? "Results" : "Groups"}
        min={COUNT_RANGE.min}
        max={COUNT_RANGE.max}
        step={1}
        value={count}
        valueText={`at most ${count}`}
        onChange={onCount}
      />
      {/* The scores of the other modes have no absolute meaning. */}
      {mode === "vector" && (
        <>
          <Slider
            label="Minimum similarity"
            min={0}
            max={1}
            step={0.01}
            value={state.autoThreshold ? (cut ?? 0) : threshold}
            valueText={state.autoThreshold ? found : threshold === 0 ? "any" : threshold.toFixed(2)}
            disabled={state.autoThreshold}
            onChange={onThreshold}
          />
          <Toggle
            label="Hide weak matches"
            checked={state.autoThreshold}
            onChange={(autoThreshold) => update({ autoThreshold })}
          />
        </>
      )}
    </div>
  );
}

function ArrangeControls({ state, update, mode, strategy, fields }: Props & { fields: Facet[] }) {
  const [diversity, setDiversity] = useDebouncedControl(state.diversity, (rested) =>
    update({ diversity: rested }),
  );
  const groups = groupings(fields);
  const canDiversify = supportsDiversity(strategy);
  const others = state.groupBy !== null && !groups.some(({ field }) => field === state.groupBy);
  return (
    <div className="card space-y-4 p-4">
      {mode === "vector" && (
        <Slider
          label="Diversity"
          min={0}
          max={1}
          step={0.05}
          value={canDiversify ? diversity : 0}
          valueText={
            !canDiversify ? "not with “Closest example”" : diversity === 0 ? "off" : percent(diversity)
          }
          disabled={!canDiversify}
          onChange={setDiversity}
        />
      )}
      <Toggle
        label="Stack near-duplicates"
        checked={state.collapseDuplicates}
        onChange={(collapseDuplicates) => update({ collapseDuplicates })}
      />
      {(groups.length > 0 || others) && (
        <label className="flex items-center justify-between gap-3 text-sm">
          <span className="shrink-0">Group by</span>
          <select
            className="field max-w-40 min-w-0"
            value={state.groupBy ?? ""}
            onChange={({ target: { value } }) => {
              const groupStep = groups.find(({ field }) => field === value)?.step ?? null;
              update({ groupBy: value || null, groupStep });
            }}
          >
            <option value="">nothing</option>
            {others && <option value={state.groupBy ?? ""}>{state.groupBy}</option>}
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
