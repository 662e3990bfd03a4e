"""What the clients of a drill were told, and what was found in the end."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from image_similarity.cli.drill.copies import Copies

PREFIX = "drill/"
"""Begins the id of every image that a drill adds; it touches no other."""


class Operation(StrEnum):
    """What a client does next."""

    INDEX = "index"
    SEARCH = "search"
    GET = "get"
    DELETE = "delete"


class Fate(StrEnum):
    """What an image must be in the end."""

    PRESENT = "present"
    """Its indexing was acknowledged."""
    GONE = "gone"
    """Its deletion was."""
    UNKNOWN = "unknown"
    """The last change to it was not acknowledged: both is right."""


@dataclass
class Account:
    """What was asked and answered so far; written by one thread, read by any."""

    seed: int
    prefix: str = field(default_factory=lambda: f"{PREFIX}{uuid.uuid4().hex[:12]}/")
    """Begins the ids of this run."""
    requests: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    """How often each kind of failure was seen: operation, status, code."""
    seconds: dict[Operation, list[float]] = field(default_factory=lambda: {operation: [] for operation in Operation})
    """How long each request took, failed ones too."""
    fates: dict[str, Fate] = field(default_factory=dict)
    pictures: dict[str, int] = field(default_factory=dict)
    """The number of each image's picture."""

    @property
    def failed(self) -> int:
        """Return how many requests failed."""
        return self.failures.total()

    def having(self, fate: Fate) -> list[str]:
        """Return the images of a fate."""
        return [image_id for image_id, found in list(self.fates.items()) if found is fate]


@dataclass
class Findings:
    """What became of what was acknowledged; each is a list of image ids."""

    lost: list[str] = field(default_factory=list)
    """Acknowledged, and not there."""
    came_back: list[str] = field(default_factory=list)
    """Deleted, which was acknowledged, and there."""
    not_found: list[str] = field(default_factory=list)
    """There, but a search with the very picture does not find it."""
    unchecked: list[str] = field(default_factory=list)
    """The service gave no answer about it, however often it was asked."""
    copies: Copies | None = None
    """How the copies of each shard compare; None where no Qdrant server was named."""

    @property
    def problems(self) -> list[str]:
        """Return what is wrong, in a sentence each; nothing where all is well."""
        told = [
            (self.lost, "acknowledged images are lost"),
            (self.came_back, "deleted images came back"),
            (self.not_found, "images are there but not found by their own picture"),
            (self.unchecked, "images could not be checked, because the service gave no answer"),
        ]
        found = [f"{len(ids)} {what}, such as {ids[0]}." for ids, what in told if ids]
        return found + (self.copies.problems if self.copies else [])


def summary(account: Account, findings: Findings) -> dict[str, Any]:
    """Return a run's figures; times are milliseconds."""
    writes = account.seconds[Operation.INDEX] + account.seconds[Operation.DELETE]
    return {
        "seed": account.seed,
        "prefix": account.prefix,
        "requests": account.requests,
        "failed": account.failed,
        "failures": dict(account.failures.most_common()),
        "acknowledged_images": len(account.having(Fate.PRESENT)),
        "acknowledged_deletions": len(account.having(Fate.GONE)),
        "unknown": len(account.having(Fate.UNKNOWN)),
        "lost": findings.lost,
        "came_back": findings.came_back,
        "not_found_by_own_picture": findings.not_found,
        "unchecked": findings.unchecked,
        "copies": asdict(findings.copies) if findings.copies else None,
        "longest_write_ms": _milliseconds(max(writes, default=0)),
        "longest_search_ms": _milliseconds(max(account.seconds[Operation.SEARCH], default=0)),
        "p99_ms": _of_each(account, 0.99),
        "p50_ms": _of_each(account, 0.5),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that so large a share of them does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _of_each(account: Account, share: float) -> dict[str, float]:
    return {operation.value: _milliseconds(percentile(took, share)) for operation, took in account.seconds.items()}


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
