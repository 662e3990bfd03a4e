"""The table that `image-similarity stats` prints for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text


def stats_table(figures: dict[str, Any]) -> Table:
    """Return the figures of `GET /api/v1/stats` as a table of two columns."""
    table = Table(show_header=False, box=None)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _rows(figures):
        # Wrap in `Text`: Rich would read brackets as markup.
        table.add_row(name, Text(text))
    return table


def _rows(figures: dict[str, Any]) -> Iterator[tuple[str, str]]:
    model, text, collection = figures["model"], figures["text_model"], figures["collection"]
    yield "version", figures["version"]
    if figures["uptime_seconds"]:
        yield "up for", _duration(figures["uptime_seconds"])
    yield "images", f"{collection['images']:,} in the collection {collection['name']}"
    yield "search graph", f"{collection['indexed_vectors']:,} images in it; the others are compared one by one"
    yield "filtered by", ", ".join(collection["field_indexes"]) or "no field so far"
    yield "model", f"{model['name']}, {model['dimension']} dimensions, on {model['device']} in {model['precision']}"
    if model["fallback_reason"]:
        yield "", f"It replaces the requested model. {model['fallback_reason']}"
    if text is not None:
        yield "text model", f"{text['name']}, {'loaded' if text['loaded'] else 'loaded at the first text'}"
    yield "queue", f"{figures['queue']['depth']:,} of {figures['queue']['limit']:,} places taken"
    for tier in figures["cache"]:
        yield f"cache {tier['tier']}", _cache(tier)
    if (jobs := figures["jobs"]) is not None:
        yield "bulk jobs", f"{jobs['waiting']:,} chunks waiting, {jobs['dead_letters']:,} given up"
        if jobs["problem"]:
            yield "", jobs["problem"]
    if (placement := collection["placement"]) is not None:
        yield (
            "copies",
            f"{placement['copies_active']} of {placement['copies_wanted']} active on {placement['nodes']} nodes",
        )
    for advice in figures["recommendations"]:
        yield "advice", advice


def _cache(tier: dict[str, Any]) -> str:
    hits = sum(tier["hits"].values())
    asked = hits + sum(tier["misses"].values())
    parts = [f"{hits / asked:.0%} of {asked:,} look-ups found" if asked else "not asked yet"]
    if tier["entries"] is not None:
        parts.append(f"{tier['entries']:,} entries, {(tier['bytes'] or 0) / 1e6:.1f} MB")
    if tier["breaker"] not in {None, "closed"}:
        parts.append("does not answer")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    minutes = int(seconds) // 60
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 48 * 60 else f"{minutes // 1440} days"
