import { STRATEGIES, type Strategy } from "@/query/modes";
import type { SearchState } from "@/query/search-state";
import { availableStrategies } from "@/query/strategy";
import { Choice } from "@/ui/choice";

const LABELS: Record<Strategy, { label: string; hint: string }> = {
  average: { label: "Blend", hint: "Heads for the middle of all you like, away from what you do not" },
  relevance_feedback: { label: "Nudge", hint: "Keeps to the search, and leans towards what you like" },
  best_score: { label: "Nearest", hint: "Judges each image by the one picture that it is nearest to" },
  sum_scores: {
    label: "Tally",
    hint: "Every mark counts as much as the search: likes add, dislikes take away",
  },
};

interface Props {
  state: SearchState;
  /** The one that is searched with. */
  strategy: Strategy;
  readsText: boolean;
  update: (change: Partial<SearchState>) => void;
}

/** How marks shape the ranking. */
export function StrategyChoice({ state, strategy, readsText, update }: Props) {
  const possible = availableStrategies(state, readsText);
  return (
    <Choice
      label="Marks"
      title="How marks shape the ranking"
      value={strategy}
      options={STRATEGIES.map((value) => {
        const can = possible.includes(value);
        const { label, hint } = LABELS[value];
        return {
          value,
          label,
          hint: can ? hint : "Needs an image that you like to start from",
          disabled: !can,
        };
      })}
      onChange={(chosen) => update({ strategy: chosen })}
    />
  );
}
