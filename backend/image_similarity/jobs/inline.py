"""Bulk jobs in the server's own process: nothing to install, resumed when the server starts again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from image_similarity.domain import ImageSimilarityError
from image_similarity.jobs.base import QueueInfo
from image_similarity.jobs.chunks import GIVE_UP_AFTER, ChunkProcessor
from image_similarity.jobs.ledger import JobLedger
from image_similarity.telemetry.logging import get_logger

AT_ONCE = 2
"""Chunks under way: one in the model, one being decoded."""

LONGEST_PAUSE = 60.0
"""Seconds between two tries while the store or the storage is away."""


class InlineQueue:
    """Implements `ChunkQueue` with tasks of this process's event loop."""

    def __init__(self, processor: ChunkProcessor, ledger: JobLedger) -> None:
        self._processor = processor
        self._ledger = ledger
        self._waiting: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take up the jobs that the last process left unfinished. Raises StoreUnavailable."""
        for job_id, chunks in (await self._ledger.unfinished()).items():
            get_logger().info("job_resumed", job_id=job_id, chunks=len(chunks))
            # Where all chunks are done and only the end is missing, doing one again finishes the job.
            await self.put(job_id, chunks or [0])
        self._tasks = [asyncio.create_task(self._work()) for _ in range(AT_ONCE)]

    async def put(self, job_id: str, chunks: Iterable[int]) -> None:
        """Append the chunks to the queue."""
        for chunk in chunks:
            self._waiting.put_nowait((job_id, chunk))

    async def info(self) -> QueueInfo:
        """Return how many chunks wait."""
        return QueueInfo("in_process", waiting=self._waiting.qsize(), workers=1)

    async def close(self) -> None:
        """Stop at once; chunks under way are repeated by the next process, which changes nothing twice."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            job_id, chunk = await self._waiting.get()
            pause = 0.5
            while not await self._tried(job_id, chunk):
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, 2 * pause)

    async def _tried(self, job_id: str, chunk: int) -> bool:
        """Work on a chunk; false where it is to be tried again later."""
        try:
            # Survives the process: a chunk that kills the server must not do so for ever.
            attempt = await self._ledger.note_attempt(job_id, chunk)
            try:
                if attempt >= GIVE_UP_AFTER:
                    await self._processor.bury(job_id, chunk)
                else:
                    await self._processor.process(job_id, chunk, attempt=attempt)
            finally:
                await self._ledger.end_attempt(job_id, chunk, attempt)
        except ImageSimilarityError as error:
            get_logger().warning("chunk_postponed", job_id=job_id, chunk=chunk, reason=str(error))
            return False
        # The queue must outlive a mistake of ours; the job stays open and is tried again.
        except Exception as error:
            get_logger().error("chunk_failed", job_id=job_id, chunk=chunk, exc_info=error)
            return False
        return True
