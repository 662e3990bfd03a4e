"""Group hits by the value of a metadata field.

Not with the grouping of a Qdrant server, which supports only texts and whole numbers and does not exist in the embedded
store: a search must mean the same with every store. Like the server's, it puts an image with several values into the
group of each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from image_similarity.domain.filters import Scalar, read_time
from image_similarity.domain.metadata import flatten_metadata
from image_similarity.domain.queries import GroupStep, Period
from image_similarity.domain.records import Match

_DATE_LENGTHS: dict[Period, int] = {"day": 10, "month": 7, "year": 4}
"""Characters of an ISO 8601 date that name the period."""


@dataclass(frozen=True, slots=True)
class Groups:
    """The best hits by value; groups are in the order of their best hits."""

    size: int
    """Most hits per group."""
    hits: dict[tuple[bool, Scalar], list[Match]] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Whether no group has room for another hit."""
        return all(len(hits) == self.size for hits in self.hits.values())

    @property
    def matches(self) -> list[Match]:
        """The hits of all groups, group by group; each has the name of its group."""
        return [hit for hits in self.hits.values() for hit in hits]


def group(matches: Sequence[Match], by: str, *, top_k: int, size: int, step: GroupStep | None = None) -> Groups:
    """Put matches, best first, into up to `top_k` groups of up to `size` by a metadata field, named as in a filter.

    Matches must have their metadata. Matches without the field are left out; one with a list of values is in the group
    of each. 1 and 1.0 are the same value; true is another one. With a `step`, a group is a range of numbers, named by
    its lower bound, or a day, month or year, named as in ISO 8601; images without a number, or a time, are left out.
    """
    groups = Groups(size)
    for match in matches:
        for key, value in _values(match, by, step):
            if key not in groups.hits and len(groups.hits) == top_k:
                continue
            hits = groups.hits.setdefault(key, [])
            if len(hits) < size:
                # The group has one name, whether the value of this hit is 1 or 1.0.
                hits.append(replace(match, group=hits[0].group if hits else value))
    return groups


def has_group(match: Match, by: str, step: GroupStep | None = None) -> bool:
    """Return whether a match has a value to group by."""
    return any(True for _ in _values(match, by, step))


def _values(match: Match, by: str, step: GroupStep | None) -> Iterator[tuple[tuple[bool, Scalar], Scalar]]:
    """Yield a unique key and the value for each value of a field; the key has the type, because 1 equals True."""
    seen = set()
    for name, value in flatten_metadata(match.metadata or {}):
        if name != by or not isinstance(value, str | int | float | bool):
            continue
        if (shared := value if step is None else _bound(value, step)) is None:
            continue
        key = (isinstance(shared, bool), shared)
        if key not in seen:
            seen.add(key)
            yield key, shared


def _bound(value: Scalar, step: GroupStep) -> Scalar | None:
    """Return the name of the range that contains a value; None if no range can contain it."""
    if isinstance(step, str):
        moment = read_time(value) if isinstance(value, str) else None
        return None if moment is None else moment.isoformat()[: _DATE_LENGTHS[step]]
    if isinstance(value, str | bool):
        return None
    number = value / step
    # Rounded to 12 digits; otherwise 0.3 in steps of 0.1 would be 0.30000000000000004.
    return float(f"{math.floor(number) * step:.12g}") if math.isfinite(number) else None
