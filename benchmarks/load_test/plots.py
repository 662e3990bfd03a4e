"""Plots as SVG text: lines and bars, drawn in the page's own colours, with no script and nothing to download."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 28, 14, 44
"""Margins around the plot, for the labels of its axes."""

Text = Callable[[float], str]
Point = tuple[float, float | None]
Ticks = Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Series:
    """A line with a name, in the colour that the page's style has for a class."""

    name: str
    css_class: str
    points: Sequence[Point]
    """x and y; no y is a gap in the line."""
    dashed: bool = False
    filled: bool = False


def line_plot(
    series: Sequence[Series],
    *,
    label: str,
    x_label: str,
    y_label: str,
    x_range: tuple[float, float] | None = None,
    x_ticks: Ticks | None = None,
    text: Text = lambda value: f"{value:g}",
) -> str:
    """Draw lines over a common x; `label` describes the plot for screen readers."""
    xs = [x for line in series for x, _ in line.points]
    ys = [y for line in series for _, y in line.points if y is not None]
    y_ticks = nice_ticks(max(ys, default=0))
    low, high = x_range or (min(xs, default=0), max(xs, default=1))
    x_ticks = x_ticks if x_ticks is not None else [(x, f"{x:g}") for x in nice_ticks(high) if x <= high]
    frame = _Frame(low, high if high > low else low + 1, y_ticks[-1])
    drawn = [*frame.grid(x_ticks, [(y, text(y)) for y in y_ticks], x_label, y_label)]
    for line in series:
        drawn += frame.line(line, text)
    return f"{_legend(series)}{_svg(drawn, label)}"


def bar_plot(bars: Sequence[tuple[str, float]], *, label: str, css_class: str) -> str:
    """Draw a bar with its name and value for each, from top to bottom."""
    row, most = 30, max((value for _, value in bars), default=1)
    drawn = []
    for number, (name, value) in enumerate(bars):
        y, width = number * row, (WIDTH - 320) * value / most
        drawn += [
            f'<text class="label" x="250" y="{y + 20}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="bar {css_class}" x="258" y="{y + 6}" width="{width:.1f}" height="18" rx="3"/>',
            f'<text class="label" x="{266 + width:.1f}" y="{y + 20}">{value:,.0f}</text>',
        ]
    return _svg(drawn, label, height=row * len(bars))


def nice_ticks(most: float) -> list[float]:
    """Return 0 and up to six further round numbers, of which the last is not below `most`."""
    if most <= 0:
        return [0.0, 1.0]
    rough = most / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return [number * step for number in range(math.ceil(most / step - 1e-9) + 1)]


def steps(edges: Sequence[float], heights: Sequence[float]) -> list[Point]:
    """Return the outline of a histogram with one height between each two edges."""
    outline: list[Point] = [(edges[0], 0.0)]
    for left, right, height in zip(edges, edges[1:], heights, strict=False):
        outline += [(left, height), (right, height)]
    return [*outline, (edges[-1], 0.0)]


@dataclass(frozen=True)
class _Frame:
    """From values to places on the paper."""

    x_low: float
    x_high: float
    y_high: float

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.x_low) / (self.x_high - self.x_low)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self.y_high

    def grid(self, x_ticks: Ticks, y_ticks: Ticks, x_label: str, y_label: str) -> list[str]:
        floor = HEIGHT - BOTTOM
        drawn = []
        for value, name in y_ticks:
            y = self.y(value)
            drawn.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            drawn.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        for value, name in x_ticks:
            x = self.x(value)
            drawn.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{floor}" y2="{floor + 5}"/>')
            drawn.append(f'<text class="tick" x="{x:.1f}" y="{floor + 19}" text-anchor="middle">{escape(name)}</text>')
        drawn.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{floor}" y2="{floor}"/>')
        middle = (TOP + floor) / 2
        foot = f'x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle"'
        drawn.append(f'<text class="tick" {foot}>{escape(x_label)}</text>')
        drawn.append(
            f'<text class="tick" transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">'
            f"{escape(y_label)}</text>"
        )
        return drawn

    def line(self, line: Series, text: Text) -> list[str]:
        drawn = []
        for part in _unbroken(line.points):
            places = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in part)
            if line.filled:
                drawn.append(f'<polygon class="area {line.css_class}" points="{places}"/>')
            dashes = ' stroke-dasharray="6 4"' if line.dashed else ""
            drawn.append(f'<polyline class="line {line.css_class}"{dashes} points="{places}"/>')
            if len(part) <= 100 and not line.filled:
                drawn += [
                    f'<circle class="dot {line.css_class}" cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="2.5">'
                    f"<title>{escape(line.name)}: {escape(text(y))}</title></circle>"
                    for x, y in part
                ]
        return drawn


def _unbroken(points: Sequence[Point]) -> list[list[tuple[float, float]]]:
    parts: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            parts.append([])
        else:
            parts[-1].append((x, y))
    return [part for part in parts if part]


def _legend(series: Sequence[Series]) -> str:
    keys = (
        f'<span><i class="key {line.css_class}{" dashed" if line.dashed else ""}"></i>{escape(line.name)}</span>'
        for line in series
    )
    return f'<p class="legend">{"".join(keys)}</p>'


def _svg(drawn: Sequence[str], label: str, height: float = HEIGHT) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{"".join(drawn)}</svg>'
