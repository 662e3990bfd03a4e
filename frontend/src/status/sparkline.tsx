import { useId } from "react";

const WIDTH = 240;
const HEIGHT = 56;

/** A line of the last minutes, drawn by hand: a chart library would weigh more than this page. */
export function Sparkline({ values, label }: { values: number[]; label: string }) {
  const gradient = useId();
  const path = linePath(values, WIDTH, HEIGHT);
  return (
    <svg
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      className="h-14 w-full"
      role="img"
      aria-label={label}
    >
      <defs>
        <linearGradient id={gradient} x1="0" y1="0" x2="0" y2="1">
          <stop offset="0" className="[stop-color:var(--accent)]" stopOpacity="0.28" />
          <stop offset="1" className="[stop-color:var(--accent)]" stopOpacity="0" />
        </linearGradient>
      </defs>
      {path && (
        <>
          <path d={`${path}V${HEIGHT}H0Z`} fill={`url(#${gradient})`} />
          <path
            d={path}
            fill="none"
            className="stroke-accent"
            strokeWidth="2"
            vectorEffect="non-scaling-stroke"
            strokeLinejoin="round"
          />
        </>
      )}
    </svg>
  );
}

/** The line through values at even distances, from the lowest at the bottom (zero, unless all are larger) to the highest. */
export function linePath(values: number[], width: number, height: number): string {
  if (values.length < 2) return "";
  const low = Math.min(0, ...values);
  const high = Math.max(...values, low + 1e-9);
  const points = values.map((value, index) => {
    const x = (index / (values.length - 1)) * width;
    const y = height - 2 - ((value - low) / (high - low)) * (height - 6);
    return `${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  return `M${points.join("L")}`;
}
