"""The list of chunks that were given up, by the server or by workers; the broker also keeps their messages in a queue.

dead/ID.000003  when and why chunk 3 of job ID was given up; for the operator, who may delete it
"""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from image_similarity.jobs.base import DeadLetter
from image_similarity.storage.objects import Objects

TOLD = 100
"""Most dead letters to return of one job."""


class DeadLetters:
    """The dead letters in the storage. Every method raises StoreUnavailable."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def add(self, job_id: str, chunk: int, reason: str) -> None:
        """Record that a chunk is given up; it is safe to repeat."""
        document = {"job_id": job_id, "chunk": chunk, "given_up_at": datetime.now(UTC), "reason": reason}
        await self._objects.create(f"dead/{job_id}.{chunk:06}", orjson.dumps(document))

    async def of(self, job_id: str) -> tuple[DeadLetter, ...]:
        """Return the first chunks of a job that were given up, by number, at most `TOLD`."""
        names = await self._objects.names("dead", after=f"{job_id}.", limit=TOLD)
        documents = [await self._objects.read_json(f"dead/{name}") for name in names if name.startswith(f"{job_id}.")]
        return tuple(
            DeadLetter(found["chunk"], datetime.fromisoformat(found["given_up_at"]), found["reason"])
            for found in documents
            if found is not None
        )

    async def count(self) -> int:
        """Return how many dead letters there are."""
        return len(await self._objects.entries("dead"))

    async def sweep(self, retention: float) -> None:
        """Delete dead letters that are older than `retention` seconds."""
        now = datetime.now(UTC).timestamp()
        entries = await self._objects.entries("dead")
        await self._objects.delete(*(entry.key for entry in entries if now - entry.modified.timestamp() > retention))
