"""Hits sorted by the value of a metadata field.

Done here and not by a server's own grouping, which knows texts and whole numbers only, and which a store in this
process does not have: a search means the same on every store. Like a server's, it puts an image that has several values
into the group of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from image_similarity.domain.filters import Scalar
from image_similarity.domain.metadata import flatten_metadata
from image_similarity.domain.records import Match


@dataclass(frozen=True, slots=True)
class Groups:
    """The best hits by value; groups are in the order of their best hit."""

    size: int
    """Most hits of a group."""
    hits: dict[tuple[bool, Scalar], list[Match]] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Whether no group has room for another hit."""
        return all(len(hits) == self.size for hits in self.hits.values())

    @property
    def matches(self) -> list[Match]:
        """The hits of all groups, those of a group beside each other, each naming its group."""
        return [hit for hits in self.hits.values() for hit in hits]


def group(matches: Sequence[Match], by: str, *, top_k: int, size: int) -> Groups:
    """Put matches, best first, into up to `top_k` groups of up to `size` by a metadata field, named as in a filter.

    Matches must have their metadata. Those without the field are left out; one with a list of values is in the group
    of each. 1 and 1.0 are the same value; true is another one.
    """
    groups = Groups(size)
    for match in matches:
        for key, value in _values(match, by):
            if key not in groups.hits and len(groups.hits) == top_k:
                continue
            hits = groups.hits.setdefault(key, [])
            if len(hits) < size:
                # The group has one name, be the value of this hit 1 or 1.0.
                hits.append(replace(match, group=hits[0].group if hits else value))
    return groups


def has_group(match: Match, by: str) -> bool:
    """Tell whether a match has a value to group by."""
    return any(True for _ in _values(match, by))


def _values(match: Match, by: str) -> Iterator[tuple[tuple[bool, Scalar], Scalar]]:
    """Yield each value of a field once, after what tells it from others: Python holds 1 and True for equal."""
    seen = set()
    for name, value in flatten_metadata(match.metadata or {}):
        if name == by and isinstance(value, str | int | float | bool):
            key = (isinstance(value, bool), value)
            if key not in seen:
                seen.add(key)
                yield key, value
