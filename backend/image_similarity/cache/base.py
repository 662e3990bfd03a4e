"""The Protocol of caches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """Kind of cached value; hits and misses are counted per kind."""

    EMBEDDING = "embedding"
    """Embedding by content and model; never stale."""
    RESULT = "result"
    """Matches of a whole search; stale after the next write."""


@dataclass(frozen=True, slots=True)
class TierStats:
    """The state of one tier."""

    tier: str
    entries: int | None
    """None for a shared tier, which does not count the entries of one collection."""
    bytes: int | None
    hits: dict[str, int]
    """By kind."""
    misses: dict[str, int]
    breaker: str | None = None
    """closed, open or half_open; None if the tier has no breaker."""


class Cache(Protocol):
    """Bytes by key. May drop any entry, never raises, and never returns the value of another key."""

    async def get(self, kind: Kind, key: str) -> bytes | None:
        """Return the value, or None."""
        ...

    async def set(self, kind: Kind, key: str, value: bytes) -> None:
        """Store the value for the time to live."""
        ...

    async def generation(self) -> str | None:
        """Return the name of the collection's current state; it is part of every result's key, and never reused.

        Read it before the query: a result computed during a write is then stored under the old name, which no
        search reads again. None if the current state is unknown: then the caller must not use a result from the
        cache or from an earlier computation, and must not store one.
        """
        ...

    async def advance_generation(self, *written: str) -> None:
        """Make every cached result stale, and forget the contents of the images that were written or deleted.

        Called after a write is in the store and before it is acknowledged.
        """
        ...

    def note_contents(self, contents: Mapping[str, str], since: float) -> None:
        """Remember sha256 digests by image id, read from the store at `since` (`time.monotonic`) or later."""
        ...

    async def last_content(self, image_id: str) -> str | None:
        """Return the last known digest; None if any replica has written the image since. See `contents.py`."""
        ...

    def count_query(self, key: str) -> None:
        """Count a search for the embedding under this key, so that `warm` knows the popular ones."""
        ...

    async def warm(self, top: int) -> int:
        """Copy up to `top` of the most requested embeddings into L1, and return how many were found."""
        ...

    def failure(self) -> str | None:
        """Return what is wrong, as text for the operator; None if the cache works."""
        ...

    def stats(self) -> list[TierStats]:
        """Return the state of each tier, nearest first."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class SharedCache(Cache, Protocol):
    """A cache that several replicas share."""

    async def most_asked(self, top: int) -> list[tuple[str, bytes]]:
        """Return keys and values of up to `top` embeddings, the most requested first."""
        ...
