"""A local cache (L1) in front of a shared one (L2)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from image_similarity.cache.base import Kind, SharedCache, TierStats
from image_similarity.cache.local import LocalCache


class TieredCache:
    """Implements `Cache`: reads L1, then L2, whose hits fill L1; the generation is always that of L2."""

    def __init__(self, near: LocalCache, far: SharedCache) -> None:
        self._near = near
        self._far = far

    async def get(self, kind: Kind, key: str) -> bytes | None:
        """Return the value from the nearest tier that has it; see `Cache`."""
        value = await self._near.get(kind, key)
        if value is None:
            value = await self._far.get(kind, key)
            if value is not None:
                await self._near.set(kind, key, value)
        return value

    async def set(self, kind: Kind, key: str, value: bytes) -> None:
        """Store the value in both tiers; see `Cache`."""
        await self._near.set(kind, key, value)
        await self._far.set(kind, key, value)

    async def generation(self) -> str | None:
        """Return the name that all replicas share; see `Cache`."""
        return await self._far.generation()

    async def advance_generation(self, *written: str) -> None:
        """Make every cached result stale, on every replica; see `Cache`."""
        await self._far.advance_generation(*written)

    def note_contents(self, contents: Mapping[str, str], since: float) -> None:
        """Remember digests from the store, in L2; see `Cache`."""
        self._far.note_contents(contents, since)

    async def last_content(self, image_id: str) -> str | None:
        """Return the last digest that any replica noted; see `Cache`."""
        return await self._far.last_content(image_id)

    def count_query(self, key: str) -> None:
        """Count a search for this embedding; see `Cache`."""
        self._far.count_query(key)

    async def warm(self, top: int) -> int:
        """Copy the most requested embeddings to L1; see `Cache`."""
        found = await self._far.most_asked(top)
        # The most requested last, because L1 evicts the latest entries last.
        for key, value in reversed(found):
            await self._near.set(Kind.EMBEDDING, key, value)
        return len(found)

    def failure(self) -> str | None:
        """Return the failure of L2; see `Cache`."""
        return self._far.failure()

    def stats(self) -> list[TierStats]:
        """Return the state of both tiers."""
        return [*self._near.stats(), *self._far.stats()]

    async def close(self) -> None:
        """Close both tiers."""
        await asyncio.gather(self._near.close(), self._far.close())
