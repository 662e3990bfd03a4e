"""The record of a drill: the answers that its clients got, and the findings at the end."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from image_similarity.cli.drill.copies import Copies

PREFIX = "drill/"
"""Prefix of the id of every image that a drill adds; a drill touches no other image."""


class Operation(StrEnum):
    """A request of a client."""

    INDEX = "index"
    SEARCH = "search"
    GET = "get"
    DELETE = "delete"


class Fate(StrEnum):
    """The state that an image must have at the end."""

    PRESENT = "present"
    """Its indexing was acknowledged."""
    GONE = "gone"
    """Its deletion was acknowledged."""
    UNKNOWN = "unknown"
    """The last change to it was not acknowledged, so both states are right."""


@dataclass
class Account:
    """Requests and answers so far; one thread writes it, any thread may read it."""

    seed: int
    prefix: str = field(default_factory=lambda: f"{PREFIX}{uuid.uuid4().hex[:12]}/")
    """Prefix of the ids of this run."""
    requests: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    """Count of each kind of failure: operation, status, code."""
    seconds: dict[Operation, list[float]] = field(default_factory=lambda: {operation: [] for operation in Operation})
    """Duration of each request, failed ones too."""
    fates: dict[str, Fate] = field(default_factory=dict)
    pictures: dict[str, int] = field(default_factory=dict)
    """The number of each image's picture."""

    @property
    def failed(self) -> int:
        """Return how many requests failed."""
        return self.failures.total()

    def having(self, fate: Fate) -> list[str]:
        """Return the images with a fate."""
        return [image_id for image_id, found in list(self.fates.items()) if found is fate]


@dataclass
class Findings:
    """The result of the checks; each list holds image ids."""

    lost: list[str] = field(default_factory=list)
    """Indexing was acknowledged, but the image is missing."""
    came_back: list[str] = field(default_factory=list)
    """Deletion was acknowledged, but the image is there."""
    not_found: list[str] = field(default_factory=list)
    """The image is there, but a search with its own picture does not find it."""
    unchecked: list[str] = field(default_factory=list)
    """The service gave no answer about the image in spite of retries."""
    copies: Copies | None = None
    """Comparison of the copies of each shard; None if no Qdrant server was given."""

    @property
    def problems(self) -> list[str]:
        """Return one sentence per problem; empty if there is none."""
        checks = [
            (self.lost, "acknowledged images are lost"),
            (self.came_back, "deleted images came back"),
            (self.not_found, "images are there but not found by their own picture"),
            (self.unchecked, "images could not be checked, because the service gave no answer"),
        ]
        found = [f"{len(ids)} {what}, such as {ids[0]}." for ids, what in checks if ids]
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
    """Return the smallest value that `share` of the values do not exceed; 0 if there are no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _of_each(account: Account, share: float) -> dict[str, float]:
    return {operation.value: _milliseconds(percentile(took, share)) for operation, took in account.seconds.items()}


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
