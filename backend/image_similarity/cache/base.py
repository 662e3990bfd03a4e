"""What a cache can do, as a Protocol."""

from __future__ import annotations

from collections.abc import Mapping
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
    entries: int | None
    """None where the tier is shared, and what is ours is not counted."""
    bytes: int | None
    hits: dict[str, int]
    """By kind."""
    misses: dict[str, int]
    breaker: str | None = None
    """closed, open or half_open; None where nothing can break."""


class Cache(Protocol):
    """Bytes under a key; forgets what it must, never raises, and never answers with another key's value."""

    async def get(self, kind: Kind, key: str) -> bytes | None:
        """Return the value, or None."""
        ...

    async def set(self, kind: Kind, key: str, value: bytes) -> None:
        """Keep the value for a while."""
        ...

    async def generation(self) -> str | None:
        """Return the name of the collection's present state; part of every result's key, and never used twice.

        Read it before the query: a result computed while a write came in is then kept under the old name, where
        nobody looks for it again. None where the present state cannot be known: then no result may be taken from
        the cache, nor from a computation that began earlier, and none is to be kept.
        """
        ...

    async def advance_generation(self, *written: str) -> None:
        """Make every cached result stale, and forget the contents of the images whose bytes were written or deleted.

        Called after a write is in the store and before it is acknowledged.
        """
        ...

    def note_contents(self, contents: Mapping[str, str], since: float) -> None:
        """Remember sha256 digests by image id, as the store said that was asked at `since`, by `time.monotonic`."""
        ...

    async def last_content(self, image_id: str) -> str | None:
        """Return the digest that was last known; of no image that any replica has written since. See `contents.py`."""
        ...

    def count_query(self, key: str) -> None:
        """Note that a search asked for the embedding under this key; `warm` wants to know what is popular."""
        ...

    async def warm(self, top: int) -> int:
        """Bring up to `top` of the most asked embeddings near, and return how many were found."""
        ...

    def failure(self) -> str | None:
        """Return what is wrong, for an operator to read; None where all is well."""
        ...

    def stats(self) -> list[TierStats]:
        """Return the state of each tier, nearest first."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class SharedCache(Cache, Protocol):
    """A cache that several replicas have in common."""

    async def most_asked(self, top: int) -> list[tuple[str, bytes]]:
        """Return keys and values of up to `top` embeddings, the most asked first."""
        ...
