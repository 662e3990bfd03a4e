"""A near cache in front of a shared one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from image_similarity.cache.base import Kind, SharedCache, TierStats
from image_similarity.cache.local import LocalCache


class TieredCache:
    """Implements `Cache`: asks L1, then L2, whose hits fill L1; only L2 says which generation is the present one."""

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
        """Keep the value in both tiers; see `Cache`."""
        await self._near.set(kind, key, value)
        await self._far.set(kind, key, value)

    async def generation(self) -> str | None:
        """Return the name that all replicas share; see `Cache`."""
        return await self._far.generation()

    async def advance_generation(self, *written: str) -> None:
        """Make every cached result stale, on every replica; see `Cache`."""
        await self._far.advance_generation(*written)

    def note_contents(self, contents: Mapping[str, str], since: float) -> None:
        """Have L2 remember what the store said; see `Cache`."""
        self._far.note_contents(contents, since)

    async def last_content(self, image_id: str) -> str | None:
        """Return what it said last, to any replica; see `Cache`."""
        return await self._far.last_content(image_id)

    def count_query(self, key: str) -> None:
        """Note that a search asked for this embedding; see `Cache`."""
        self._far.count_query(key)

    async def warm(self, top: int) -> int:
        """Copy the most asked embeddings to L1; see `Cache`."""
        found = await self._far.most_asked(top)
        # The most asked last: what came last is the last to be forgotten.
        for key, value in reversed(found):
            await self._near.set(Kind.EMBEDDING, key, value)
        return len(found)

    def failure(self) -> str | None:
        """Return what is wrong with L2; see `Cache`."""
        return self._far.failure()

    def stats(self) -> list[TierStats]:
        """Return the state of both tiers."""
        return [*self._near.stats(), *self._far.stats()]

    async def close(self) -> None:
        """Close both."""
        await asyncio.gather(self._near.close(), self._far.close())
