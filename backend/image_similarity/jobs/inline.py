"""Bulk jobs in the server's own process: no broker is needed, and jobs are resumed when the server restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic

from image_similarity.concurrency.backoff import pause_before
from image_similarity.domain.errors import ImageSimilarityError
from image_similarity.jobs.base import STUCK_SECONDS, QueueInfo
from image_similarity.jobs.chunks import GIVE_UP_AFTER, TRIES, ChunkProcessor
from image_similarity.jobs.ledger import JobLedger
from image_similarity.telemetry.logging import get_logger

AT_ONCE = 2
"""Chunks in progress: one in the model, one being decoded."""

FIRST_PAUSE = 0.5
"""Seconds between the first two tries of a chunk; each further pause is twice as long."""

MAX_BACKOFF_SECONDS = 300.0

STUCK_AFTER = 3
"""Failed tries after which a chunk is reported as stuck."""


@dataclass(slots=True)
class _Tries:
    """The tries of this process with a chunk that is not done."""

    failed: int = 0
    counted: int = 0
    """Failed tries while store and storage answered."""
    code: str = ""
    """Error code of the last failure."""
    unended: int | None = None
    """An attempt whose end could not be recorded, although the process did not die during it."""


class InlineQueue:
    """Implements `ChunkQueue` with tasks of this process's event loop.

    A chunk that fails is queued again after a pause, while others are processed. It is tried at most `TRIES` times, not
    counting tries while the store or the storage is away; then it becomes a dead letter.
    """

    def __init__(self, processor: ChunkProcessor, ledger: JobLedger) -> None:
        self._processor = processor
        self._ledger = ledger
        self._waiting: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self._tries: dict[tuple[str, int], _Tries] = {}
        self._timers: dict[tuple[str, int], asyncio.TimerHandle] = {}
        self._begun: dict[tuple[str, int], float] = {}
        """Start of each chunk in progress, by `time.monotonic`."""
        self._dead = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Resume the jobs that the last process left unfinished. Raises StoreUnavailable."""
        self._dead = await self._ledger.dead_letters.count()
        for job_id, chunks in (await self._ledger.unfinished()).items():
            get_logger().info("job_resumed", job_id=job_id, chunks=len(chunks))
            # If all chunks are done and only the end is missing, repeating one finishes the job.
            await self.put(job_id, chunks or [0])
        self._tasks = [asyncio.create_task(self._work()) for _ in range(AT_ONCE)]

    async def put(self, job_id: str, chunks: Iterable[int]) -> None:
        """Append the chunks to the queue."""
        for chunk in chunks:
            self._waiting.put_nowait((job_id, chunk))

    async def info(self) -> QueueInfo:
        """Return how many chunks wait, how many were given up, and which one is stuck."""
        waiting = self._waiting.qsize() + len(self._timers)
        return QueueInfo("in_process", waiting, dead_letters=self._dead, workers=1, problem=self._stuck())

    async def close(self) -> None:
        """Stop at once; the next process repeats the chunks in progress, which is safe."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for timer in self._timers.values():
            timer.cancel()

    async def _work(self) -> None:
        while True:
            place = await self._waiting.get()
            tries = self._tries.setdefault(place, _Tries())
            self._begun[place] = monotonic()
            try:
                await self._try(*place, tries)
            except ImageSimilarityError as error:
                tries.code = error.code
                tries.counted += not await self._away()
                self._postpone(place, tries, reason=str(error))
            # The queue must survive a bug of ours; the chunk is tried again, and finally given up.
            except Exception as error:
                get_logger().error("chunk_failed", job_id=place[0], chunk=place[1], exc_info=error)
                tries.code = ImageSimilarityError.code
                tries.counted += 1
                self._postpone(place, tries, reason=type(error).__name__)
            else:
                self._tries.pop(place, None)
            finally:
                del self._begun[place]

    async def _try(self, job_id: str, chunk: int, tries: _Tries) -> None:
        if tries.unended is not None:
            await self._ledger.end_attempt(job_id, chunk, tries.unended)
            tries.unended = None
        if tries.counted >= TRIES:
            return await self._give_up(job_id, chunk, f"It failed {TRIES} times, at last with {tries.code}.")
        # Recorded in the storage, because a chunk that kills the server must not do so for ever.
        tries.unended = attempt = await self._ledger.note_attempt(job_id, chunk)
        try:
            if attempt >= GIVE_UP_AFTER:
                await self._give_up(job_id, chunk, "It took the server down every time.")
            else:
                await self._processor.process(job_id, chunk, attempt=attempt, last=tries.counted == TRIES - 1)
        finally:
            await self._ledger.end_attempt(job_id, chunk, attempt)
            tries.unended = None

    async def _give_up(self, job_id: str, chunk: int, reason: str) -> None:
        await self._processor.give_up(job_id, chunk, reason)
        self._dead += 1

    async def _away(self) -> bool:
        try:
            return await self._processor.is_away()
        # A bug in the check must not end the queue.
        except Exception as error:
            get_logger().error("health_check_failed", exc_info=error)
            return False

    def _postpone(self, place: tuple[str, int], tries: _Tries, *, reason: str) -> None:
        pause = pause_before(tries.failed, first=FIRST_PAUSE, most=MAX_BACKOFF_SECONDS)
        tries.failed += 1
        get_logger().warning(
            "chunk_postponed",
            job_id=place[0],
            chunk=place[1],
            tries=tries.failed,
            counted=tries.counted,
            seconds=pause,
            reason=reason,
        )
        self._timers[place] = asyncio.get_running_loop().call_later(pause, self._come_again, place)

    def _come_again(self, place: tuple[str, int]) -> None:
        del self._timers[place]
        self._waiting.put_nowait(place)

    def _stuck(self) -> str | None:
        for (job_id, chunk), begun in self._begun.items():
            if (seconds := monotonic() - begun) > STUCK_SECONDS:
                return f"Chunk {chunk} of job {job_id} has been under way for {seconds:.0f} s; restart the server."
        stuck = [(place, tries) for place, tries in self._tries.items() if tries.counted >= STUCK_AFTER]
        if not stuck:
            return None
        (job_id, chunk), tries = max(stuck, key=lambda each: each[1].counted)
        return (
            f"{len(stuck)} chunks fail again and again. Chunk {chunk} of job {job_id} was tried {tries.counted} times, "
            f"at last with {tries.code}; the log has the reason."
        )
