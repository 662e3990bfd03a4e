"""Chunks that were given up by a server which works on jobs itself, as the broker's dead-letter queue keeps its own.

dead/ID.000003  when and why chunk 3 of job ID was given up; for the operator, who may remove it
"""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from image_similarity.objects import Objects


class DeadLetters:
    """That list, in the storage. Every method raises StoreUnavailable."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def add(self, job_id: str, chunk: int, reason: str) -> None:
        """Note that a chunk is given up; noting it twice changes nothing."""
        document = {"job_id": job_id, "chunk": chunk, "given_up_at": datetime.now(UTC), "reason": reason}
        await self._objects.create(f"dead/{job_id}.{chunk:06}", orjson.dumps(document))

    async def count(self) -> int:
        """Return how many chunks were given up and not yet forgotten."""
        return len(await self._objects.entries("dead"))

    async def sweep(self, retention: float) -> None:
        """Forget what was given up longer ago than `retention` seconds."""
        now = datetime.now(UTC).timestamp()
        entries = await self._objects.entries("dead")
        await self._objects.delete(*(entry.key for entry in entries if now - entry.modified.timestamp() > retention))
