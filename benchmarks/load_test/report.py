"""Turns the results of the clients into figures: a block of text and a JSON document."""

from __future__ import annotations

import math
import os
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from load_test.run import Operation, Outcome, Recording

MOST_SLICES = 60
"""Number of time slices in plots."""


@dataclass(frozen=True)
class Reference:
    """Figures that a known system of this kind reported, on unknown hardware."""

    clients: int = 100
    operations: int = 60_000
    throughput: float = 15.81
    p50_ms: float = 3800
    p95_ms: float = 12_600
    success_percent: float = 99.997


@dataclass(frozen=True)
class Figures:
    """Figures of answered requests; failures are counted separately, and not in latencies or throughput."""

    count: int
    mean_ms: float | None
    """None, as the others, if nothing was answered."""
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    throughput: float
    """Answers per second, over the whole duration."""


@dataclass(frozen=True)
class Slice:
    """A short part of the run; a request belongs to the part in which it ended."""

    start: float
    seconds: float
    errors: int
    operations: dict[Operation, Figures]


@dataclass(frozen=True)
class Report:
    """Results of a run."""

    title: str
    url: str
    clients: int
    index_share: float
    started_at: datetime
    duration: float
    """Seconds from the first request to the last answer."""
    client_cores: float
    """Number of the machine's cores that the clients themselves used."""
    interrupted: bool
    errors: dict[str, int]
    """Errors per kind, most frequent first."""
    total: Figures
    by_operation: dict[Operation, Figures]
    cached: int
    """Searches answered from a cache of results."""
    slices: list[Slice]
    latencies_ms: dict[Operation, list[float]] = field(repr=False)
    """Latencies of the answered requests, ascending."""
    reference: Reference = field(default_factory=Reference)

    @property
    def operations(self) -> int:
        """Number of finished requests, with or without an error."""
        return self.total.count + self.failed

    @property
    def failed(self) -> int:
        """Number of failed requests."""
        return sum(self.errors.values())

    @property
    def success_percent(self) -> float:
        """Percentage of answered requests; 0 if there were none, because that is not a success."""
        return 100 * self.total.count / self.operations if self.operations else 0.0

    @property
    def cached_percent(self) -> float | None:
        """Percentage of searches answered from a cache of results."""
        searches = self.by_operation[Operation.SEARCH].count
        return 100 * self.cached / searches if searches else None


def summarise(recording: Recording, *, title: str, url: str, started_at: datetime) -> Report:
    """Compute the figures of a run."""
    duration = recording.seconds
    answered = [outcome for outcome in recording.outcomes if outcome.error is None]
    latencies = {
        operation: sorted(1000 * outcome.seconds for outcome in answered if outcome.operation is operation)
        for operation in Operation
    }
    return Report(
        title=title,
        url=url,
        clients=recording.plan.clients,
        index_share=recording.plan.index_share,
        started_at=started_at,
        duration=duration,
        client_cores=recording.client_seconds / duration if duration else 0.0,
        interrupted=recording.interrupted,
        errors=dict(Counter(outcome.error for outcome in recording.outcomes if outcome.error).most_common()),
        total=_figures(sorted(1000 * outcome.seconds for outcome in answered), duration),
        by_operation={operation: _figures(latencies[operation], duration) for operation in Operation},
        cached=sum(outcome.cached for outcome in answered),
        slices=_slices(recording.outcomes, duration),
        latencies_ms=latencies,
    )


def percentile(ascending: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` of all do not exceed (nearest rank); raises IndexError for none."""
    return ascending[max(0, math.ceil(percent / 100 * len(ascending)) - 1)]


def block(report: Report) -> str:
    """Return the figures as text."""
    kinds = ", ".join(f"{kind}: {count:,}" for kind, count in report.errors.items())
    lines = [
        f"{report.title}: {report.clients} clients, {report.url}" + (", interrupted" if report.interrupted else ""),
        _line("total duration", f"{report.duration:.1f} s"),
        _line("operations", f"{report.operations:,}"),
        _line("errors", f"{report.failed:,}" + (f"  ({kinds})" if kinds else "")),
        _line("success rate", percent_text(report.success_percent)),
    ]
    for operation, figures in report.by_operation.items():
        lines += [
            str(operation).upper(),
            _line("count", f"{figures.count:,}"),
            _line("mean", milliseconds_text(figures.mean_ms)),
            _line("P50", milliseconds_text(figures.p50_ms)),
            _line("P95", milliseconds_text(figures.p95_ms)),
            _line("P99", milliseconds_text(figures.p99_ms)),
            _line("throughput", f"{figures.throughput:.2f} ops/s"),
        ]
        if operation is Operation.SEARCH and report.cached_percent is not None:
            lines.append(_line("from cache", f"{report.cached_percent:.1f} %"))
    return "\n".join([*lines, f"TOTAL THROUGHPUT      {report.total.throughput:.2f} ops/s"])


def document(report: Report) -> dict[str, Any]:
    """Return everything except the single latencies, for JSON; units are in the names."""
    left_out = {"total", "by_operation", "slices", "latencies_ms", "reference", "duration", "index_share"}
    plain = {name: value for name, value in vars(report).items() if name not in left_out}
    return {
        **plain,
        "started_at": report.started_at.isoformat(timespec="seconds"),
        "index_percent": 100 * report.index_share,
        "duration_s": report.duration,
        "operations": report.operations,
        "failed": report.failed,
        "success_percent": report.success_percent,
        "cached_percent": report.cached_percent,
        "total": asdict(report.total),
        **{str(operation): asdict(figures) for operation, figures in report.by_operation.items()},
        "timeline": [
            {
                "start_s": part.start,
                "seconds": part.seconds,
                "errors": part.errors,
                **{str(operation): asdict(figures) for operation, figures in part.operations.items()},
            }
            for part in report.slices
        ],
        "machine": {"cores": os.cpu_count(), "architecture": platform.machine(), "python": platform.python_version()},
        "known_system": asdict(report.reference),
    }


def milliseconds_text(value: float | None) -> str:
    """Return a latency as people read it; a dash for none."""
    if value is None:
        return "-"
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.1f} ms"


def percent_text(value: float) -> str:
    """Return a success rate with three digits, rounded down: 100 appears only if nothing failed."""
    return f"{math.floor(value * 1000) / 1000:.3f} %"


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def _line(name: str, value: str) -> str:
    return f"  {name:<20}{value}"


def _figures(ascending: Sequence[float], seconds: float) -> Figures:
    rate = len(ascending) / seconds if seconds else 0.0
    if not ascending:
        return Figures(0, None, None, None, None, None, rate)
    p50, p95, p99 = (percentile(ascending, percent) for percent in (50, 95, 99))
    return Figures(len(ascending), math.fsum(ascending) / len(ascending), p50, p95, p99, ascending[-1], rate)


def _slices(outcomes: Sequence[Outcome], duration: float) -> list[Slice]:
    if not duration:
        return []
    # All of the same length, so that the rate of the last one is as reliable as the others.
    count = max(1, min(MOST_SLICES, round(duration)))
    length = duration / count
    parts: list[list[Outcome]] = [[] for _ in range(count)]
    for outcome in outcomes:
        parts[min(count - 1, int(outcome.ended / length))].append(outcome)
    return [_slice(part, number * length, length) for number, part in enumerate(parts)]


def _slice(outcomes: Sequence[Outcome], start: float, seconds: float) -> Slice:
    answered = [outcome for outcome in outcomes if outcome.error is None]
    return Slice(
        start=start,
        seconds=seconds,
        errors=len(outcomes) - len(answered),
        operations={
            operation: _figures(
                sorted(1000 * outcome.seconds for outcome in answered if outcome.operation is operation), seconds
            )
            for operation in Operation
        },
    )
