"""The report as one self-contained HTML page: without scripts, fonts or network access."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

from load_test.plots import Series, bar_plot, line_plot, steps
from load_test.report import Figures, Report, milliseconds_text, percent_text, percentile
from load_test.run import Operation

BINS = 40
_QUANTILES = (0, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.9, 99.99)
_NAMED = (0, 50, 90, 99, 99.9, 99.99)

_STYLE = """
:root { color-scheme: light dark; --paper: #fcfcfb; --ink: #1f1f1e; --soft: #6b6a66; --line: #dddcd7;
  --index: #2a78d6; --search: #c8501f; --error: #c62828; }
@media (prefers-color-scheme: dark) { :root { --paper: #1a1a19; --ink: #ededea; --soft: #a3a29c; --line: #3a3a37;
  --index: #5598e7; --search: #ef8354; --error: #ef6b6b; } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.5rem 0 .25rem }
p { margin: .25rem 0 } .soft { color: var(--soft) }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11.5rem, 1fr)); gap: .75rem; margin: 1.5rem 0 }
.tiles div { border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem }
.tiles b { display: block; white-space: nowrap; font-size: 1.4rem; font-variant-numeric: tabular-nums }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .35rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left } th { color: var(--soft); font-weight: 500 }
svg { display: block; width: 100%; min-width: 36rem; height: auto } svg text { fill: var(--soft); font-size: 12px }
svg text.label { fill: var(--ink); font-size: 14px }
.grid, .axis { stroke: var(--line) } .axis { stroke: var(--soft) }
.index { color: var(--index) } .search { color: var(--search) } .error { color: var(--error) }
.line { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round }
.area { fill: currentColor; opacity: .18 } .dot, .bar { fill: currentColor }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; font-size: .85rem; color: var(--soft) }
.key { display: inline-block; width: 1.4rem; border-top: 3px solid currentColor; margin-right: .4rem;
  vertical-align: middle } .key.dashed { border-top-style: dashed }
"""


def page(report: Report) -> str:
    """Return the HTML of a report."""
    interrupted = " Interrupted before its time." if report.interrupted else ""
    body = [
        f"<h1>{escape(report.title)}</h1>",
        f'<p class="soft">{report.started_at:%Y-%m-%d %H:%M} UTC, {report.clients} clients at {escape(report.url)}, '
        f"{100 * report.index_share:g} % of the requests index.{interrupted}</p>",
        _tiles(report),
        _table(report),
        "<h2>Beside a known system</h2>",
        _comparison(report),
        *_plot("Latency over time", "Requests belong to the time at which they ended.", _latency_over_time(report)),
        *_plot("Throughput over time", "What was answered, and what failed.", _throughput_over_time(report)),
        *_plot("Latency by percentile", "To the right, the slowest few.", _percentiles(report)),
        *_plot("How latencies are spread", "Answers by latency; the scale is logarithmic.", _spread(report)),
        *_plot("Errors by kind", "As the clients saw them; no request is tried again.", _errors(report)),
        '<p class="soft">Each client sends one request at a time and waits for the answer. Latencies and throughput '
        "are of answered requests. After an error a client waits a tenth of a second. The clients themselves kept "
        f"{report.client_cores:.2f} processor cores busy.</p>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)}</title><style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n"
        "</body></html>\n"
    )


def _plot(title: str, note: str, drawn: str) -> tuple[str, str, str]:
    return f"<h2>{title}</h2>", f'<p class="soft">{note}</p>', f'<div class="scroll">{drawn}</div>'


def _tiles(report: Report) -> str:
    cached = report.cached_percent
    tiles = {
        "throughput": f"{report.total.throughput:.2f} ops/s",
        "success rate": percent_text(report.success_percent),
        "operations": f"{report.operations:,}",
        "errors": f"{report.failed:,}",
        "total duration": f"{report.duration:.1f} s",
        "searches from cache": "-" if cached is None else f"{cached:.1f} %",
    }
    cells = "".join(f"<div>{name}<b>{value}</b></div>" for name, value in tiles.items())
    return f'<div class="tiles">{cells}</div>'


def _table(report: Report) -> str:
    heads = ("", "count", "mean", "P50", "P95", "P99", "longest", "throughput")
    parts = {str(operation): figures for operation, figures in report.by_operation.items()} | {"total": report.total}
    return _rows(heads, [(name, *_cells(figures)) for name, figures in parts.items()])


def _cells(figures: Figures) -> tuple[str, ...]:
    latencies = (figures.mean_ms, figures.p50_ms, figures.p95_ms, figures.p99_ms, figures.max_ms)
    return f"{figures.count:,}", *map(milliseconds_text, latencies), f"{figures.throughput:.2f} ops/s"


def _comparison(report: Report) -> str:
    known, total = report.reference, report.total
    return (
        _rows(
            ("", "clients", "operations", "throughput", "P50", "P95", "success"),
            [
                (
                    "this run",
                    str(report.clients),
                    f"{report.operations:,}",
                    f"{total.throughput:.2f} ops/s",
                    milliseconds_text(total.p50_ms),
                    milliseconds_text(total.p95_ms),
                    percent_text(report.success_percent),
                ),
                (
                    "known system, as reported",
                    str(known.clients),
                    f"{known.operations:,}",
                    f"{known.throughput:.2f} ops/s",
                    milliseconds_text(known.p50_ms),
                    milliseconds_text(known.p95_ms),
                    percent_text(known.success_percent),
                ),
            ],
        )
        + '<p class="soft">On which machine it was measured is not known: the figures show an order of magnitude.</p>'
    )


def _rows(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _latency_over_time(report: Report) -> str:
    def line(operation: Operation, name: str, dashed: bool, value: Callable[[Figures], float | None]) -> Series:
        points = [(part.start + part.seconds / 2, value(part.operations[operation])) for part in report.slices]
        return Series(f"{operation} {name}", str(operation), points, dashed=dashed)

    series = [
        line(operation, name, dashed, value)
        for operation in Operation
        for name, dashed, value in (
            ("P50", False, lambda figures: figures.p50_ms),
            ("P95", True, lambda figures: figures.p95_ms),
        )
    ]
    return line_plot(
        series,
        label="P50 and P95 of the latency over time",
        x_label="s since the start",
        y_label="ms",
        text=_number,
        x_range=(0, report.duration),
    )


def _throughput_over_time(report: Report) -> str:
    middles = [part.start + part.seconds / 2 for part in report.slices]
    series = [
        Series(
            str(operation),
            str(operation),
            [(x, part.operations[operation].throughput) for x, part in zip(middles, report.slices, strict=True)],
        )
        for operation in Operation
    ]
    if report.failed:
        failures = [(x, part.errors / part.seconds) for x, part in zip(middles, report.slices, strict=True)]
        series.append(Series("errors", "error", failures, dashed=True))
    return line_plot(
        series,
        label="Throughput over time",
        x_label="s since the start",
        y_label="operations a second",
        text=_number,
        x_range=(0, report.duration),
    )


def _percentiles(report: Report) -> str:
    series = [
        Series(
            str(operation),
            str(operation),
            # Only as far as there are requests: a hundred requests have no measured P99.9.
            [(_rarity(at), percentile(all_ms, at)) for at in _QUANTILES if len(all_ms) * (100 - at) >= 100],
        )
        for operation, all_ms in report.latencies_ms.items()
    ]
    furthest = max((x for line in series for x, _ in line.points), default=1)
    ticks = [(_rarity(percent), f"P{percent:g}") for percent in _NAMED if _rarity(percent) <= furthest]
    return line_plot(
        series, label="Latency by percentile", x_label="percentile", y_label="ms", x_ticks=ticks, text=_number
    )


def _rarity(percent: float) -> float:
    """Return how many nines there are: P90 is at 1, P99 at 2, P99.9 at 3."""
    return -math.log10(1 - percent / 100)


def _spread(report: Report) -> str:
    everything = [value for values in report.latencies_ms.values() for value in values]
    if not everything:
        return "<p>Nothing was answered.</p>"
    low, high = math.log10(max(min(everything), 0.01)), math.log10(max(*everything, 0.011))
    width = max(high - low, 0.1) / BINS
    edges = [low + number * width for number in range(BINS + 1)]
    series = []
    for operation, values in report.latencies_ms.items():
        heights = [0] * BINS
        for value in values:
            heights[max(0, min(BINS - 1, int((math.log10(max(value, 0.01)) - low) / width)))] += 1
        series.append(Series(str(operation), str(operation), steps(edges, heights), filled=True))
    return line_plot(
        series,
        label="Histogram of latencies",
        x_label="latency",
        y_label="answers",
        x_ticks=[(x, milliseconds_text(10**x)) for x in _every(edges, 8)],
        text=_number,
    )


def _every(edges: list[float], count: int) -> list[float]:
    return edges[:: len(edges) // count]


def _errors(report: Report) -> str:
    if not report.errors:
        return "<p>None.</p>"
    return bar_plot([(kind, float(count)) for kind, count in report.errors.items()], label="Errors", css_class="error")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
