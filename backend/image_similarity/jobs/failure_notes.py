"""Reads why images of a job failed, from the notes of its done chunks."""

from __future__ import annotations

import asyncio

from cachetools import LRUCache

from image_similarity.jobs import records
from image_similarity.jobs.base import Failure
from image_similarity.storage.objects import Objects


class FailureNotes:
    """Reads these notes. Every method raises StoreUnavailable if the storage does not answer."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        # Failures never change, so they are cached; otherwise watching a job would read them again and again.
        self._known: LRUCache[str, tuple[Failure, ...]] = LRUCache(2048)

    async def read(self, done: dict[int, str]) -> tuple[Failure, ...]:
        """Return the failures of done chunks, in the order of the chunks; `done` has the key of each chunk's note."""
        keys = [done[number] for number in sorted(done) if records.done_counts(done[number]).failed]
        documents = await asyncio.gather(*(self._failures_in(key) for key in keys))
        return tuple(failure for document in documents for failure in document)

    async def _failures_in(self, key: str) -> tuple[Failure, ...]:
        if (known := self._known.get(key)) is None:
            document = await self._objects.read_json(key)
            if document is None:
                # Damaged, or removed since the listing because the job has ended; the next call then returns its end.
                return ()
            known = self._known[key] = tuple(Failure(**fields) for fields in document)
        return known
