import { type CSSProperties, useId } from "react";

interface Props {
  label: string;
  value: number;
  valueText: string;
  min: number;
  max: number;
  step: number;
  disabled?: boolean;
  onChange: (value: number) => void;
}

export function Slider({ label, value, valueText, min, max, step, disabled = false, onChange }: Props) {
  const id = useId();
  const filled = { "--filled": `${((value - min) / (max - min)) * 100}%` } as CSSProperties;
  return (
    <div>
      <div className="flex items-baseline justify-between text-sm">
        <label htmlFor={id} className="text-muted">
          {label}
        </label>
        <output htmlFor={id} className="font-medium tabular-nums">
          {valueText}
        </output>
      </div>
      <input
        id={id}
        type="range"
        className="slider"
        style={filled}
        min={min}
        max={max}
        step={step}
        value={value}
        disabled={disabled}
        aria-valuetext={valueText}
        onChange={(event) => onChange(event.target.valueAsNumber)}
      />
    </div>
  );
}
