import { STRATEGIES, type Strategy } from "@/query/modes";
import type { SearchState } from "@/query/search-state";
import { availableStrategies } from "@/query/strategy";
import { Choice } from "@/ui/choice";

const LABELS: Record<Strategy, { label: string; hint: string }> = {
  average: { label: "Balanced", hint: "Averages everything you like and moves away from what you don't" },
  relevance_feedback: { label: "Gentle", hint: "Stays close to the search and leans towards what you like" },
  best_score: {
    label: "Closest example",
    hint: "Scores each image by the one example that it is closest to",
  },
  sum_scores: {
    label: "Add up",
    hint: "Counts each mark as much as the search: likes add, dislikes subtract",
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
          hint: can ? hint : "Mark an image you like first",
          disabled: !can,
        };
      })}
      onChange={(chosen) => update({ strategy: chosen })}
    />
  );
}
