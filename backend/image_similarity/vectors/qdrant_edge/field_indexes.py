"""Makes indexes in a Qdrant Edge shard for the metadata fields that searches filter on, after those searches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import qdrant_edge as edge
from cachetools import TTLCache

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.domain.filters import Condition
from image_similarity.telemetry.logging import get_logger
from image_similarity.vectors.filters import MAX_FIELD_INDEXES, IndexKind, index_room, missing_indexes
from image_similarity.vectors.qdrant_edge.filters import INDEX_TYPES

RECHECK = 60.0
"""Seconds until a field that no image had is checked again."""

_MAX_WANTED = 64
"""Maximum number of fields waiting for a check; a later search adds further ones again."""

Run = Callable[[Callable[[edge.EdgeShard], bool]], Awaitable[bool]]


class FieldIndexes:
    """The field indexes of one shard. Checking a field reads the whole collection, so no search waits for it."""

    def __init__(self, run: Run) -> None:
        """`run` calls the shard in its thread; it raises StoreUnavailable."""
        self._run = run
        self._wanted: dict[str, IndexKind] = {}
        self._present: set[str] = set()
        # Bounded, because any caller may filter on any field.
        self._absent: TTLCache[str, None] = TTLCache(maxsize=1024, ttl=RECHECK)
        self._making: asyncio.Task[None] | None = None

    def want(self, condition: Condition) -> None:
        """After a search, start making indexes for the fields of its condition that images have."""
        for path, kind in missing_indexes(condition, self._present).items():
            if path not in self._absent and len(self._wanted) < _MAX_WANTED:
                self._wanted.setdefault(path, kind)
        if self._wanted and self._making is None:
            self._making = asyncio.create_task(self._make_all())

    async def settled(self) -> None:
        """Return when every wanted field has been checked."""
        if self._making is not None:
            await asyncio.wait([self._making])

    async def close(self) -> None:
        """Stop; indexes that are still missing are made after a later search."""
        if self._making is not None:
            self._making.cancel()
            with suppress(asyncio.CancelledError):
                await self._making

    async def _make_all(self) -> None:
        try:
            while self._wanted:
                path, kind = next(iter(self._wanted.items()))
                # One call per index, so that searches that came meanwhile run first.
                if not await self._run(lambda shard, path=path, kind=kind: self._make(shard, path, kind)):  # type: ignore[misc]
                    self._absent[path] = None
                del self._wanted[path]
        except StoreUnavailable as error:
            # Without an index a search is slower, but not wrong; the next search tries again.
            self._wanted.clear()
            get_logger().warning("field_index_failed", error=str(error))
        finally:
            self._making = None

    def _make(self, shard: edge.EdgeShard, path: str, kind: IndexKind) -> bool:
        """Make one index if it is missing, in the shard's thread; return whether it exists now."""
        self._present = set(shard.info().payload_schema)
        if path.replace('"', "") in {known.replace('"', "") for known in self._present}:
            return True
        used = edge.Filter(must_not=[edge.IsEmptyCondition(path)])
        if (
            index_room(self._present, MAX_FIELD_INDEXES) <= 0
            or not shard.scroll(edge.ScrollRequest(limit=1, filter=used, with_payload=False))[0]
        ):
            return False
        shard.update(edge.UpdateOperation.create_field_index(path, INDEX_TYPES[kind]))
        self._present.add(path)
        return True
