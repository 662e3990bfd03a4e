"""What a cache can do, as a Protocol."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What is cached; the two have counters of their own."""

    EMBEDDING = "embedding"
    """Content and model to the embedding; true for ever."""
    RESULT = "result"
    """A whole search to its matches; true until the next write."""


@dataclass(frozen=True, slots=True)
class TierStats:
    """The state of one tier."""

    tier: str
    entries: int
    bytes: int
    hits: dict[str, int]
    """By kind."""
    misses: dict[str, int]


class Cache(Protocol):
    """Bytes under a key; forgets what it must, never raises, and never answers with another key's value."""

    async def get(self, kind: Kind, key: str) -> bytes | None:
        """Return the value, or None."""
        ...

    async def set(self, kind: Kind, key: str, value: bytes) -> None:
        """Keep the value for a while."""
        ...

    async def generation(self) -> int:
        """Return the number of the collection's present state; part of every result's key.

        Read it before the query: a result computed while a write came in is then kept under the old number,
        where nobody looks for it again.
        """
        ...

    async def advance_generation(self) -> None:
        """Make every cached result stale; called after a write is in the store and before it is acknowledged."""
        ...

    def stats(self) -> list[TierStats]:
        """Return the state of each tier, nearest first."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
