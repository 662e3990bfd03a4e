import { useStats } from "@/api/queries";
import { type Mode, MODES } from "@/query/modes";
import { effectiveMode, availableModes } from "@/query/search-mode";
import type { SearchState } from "@/query/search-state";
import { Segments } from "@/ui/segments";

const LABELS: Record<Mode, { label: string; hint: string }> = {
  vector: { label: "Appearance", hint: "Match what's in the picture" },
  keywords: { label: "Text", hint: "Match descriptions and tags" },
  hybrid: { label: "Both", hint: "Match the picture, its description and its tags" },
};

interface Props {
  state: SearchState;
  update: (change: Partial<SearchState>) => void;
}

/** Chooses what words are matched against; nothing without words in the query. */
export function ModeSwitch({ state, update }: Props) {
  const model = useStats().data?.model;
  if (!state.parts.some(({ kind }) => kind === "text")) return null;
  const readsText = model?.towers.includes("text") ?? true;
  const possible = availableModes(state, readsText);
  const mode = effectiveMode(state, readsText);
  return (
    <div className="mt-3 flex flex-wrap items-center gap-x-4 gap-y-1.5">
      {possible.length > 1 && (
        <Segments
          label="Match words against"
          value={mode}
          options={MODES.map((value) => ({
            value,
            label: LABELS[value].label,
            disabled: !possible.includes(value),
          }))}
          onChange={(chosen) => update({ mode: chosen })}
        />
      )}
      <p className={`text-sm text-pretty text-muted ${readsText ? "max-sm:hidden" : ""}`}>
        {readsText
          ? LABELS[mode].hint
          : `The current model (${model?.name ?? "?"}) can't read text, so the search looks in descriptions and tags.`}
      </p>
    </div>
  );
}
