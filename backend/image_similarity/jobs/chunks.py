"""Process a chunk: read its images from the storage and index them; safe to repeat."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from functools import partial
from time import perf_counter

from image_similarity.domain.errors import (
    IMAGE_ERRORS,
    ImageNotFound,
    ImageSimilarityError,
    ModelUnavailable,
    Overloaded,
)
from image_similarity.domain.records import IndexResult
from image_similarity.engine.health import STORES
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.jobs.base import Failure, Item, JobState, Task
from image_similarity.jobs.ledger import JobLedger
from image_similarity.telemetry.logging import get_logger

GIVE_UP_AFTER = 3
"""How often a chunk may kill its process before it is given up."""

TRIES = 10
"""How often a chunk is tried while store and storage answer; then the images that still fail are given up."""

_PATIENCE = 6
"""How often one image waits for a place in the model's queue before its chunk is postponed."""

Result = IndexResult | Failure


class ChunkProcessor:
    """Indexes chunks. If a chunk is processed twice, even at the same time, nothing is changed or counted twice.

    `process`, `give_up` and `bury` raise StoreUnavailable and Overloaded: nothing is lost, and the caller must try
    again later.
    """

    def __init__(self, engine: SearchEngine, ledger: JobLedger, *, at_once: int) -> None:
        self._engine = engine
        self._ledger = ledger
        # Fewer than the places in the model's queue, so that searches get one while a job runs.
        self._places = asyncio.Semaphore(at_once)

    async def process(self, job_id: str, chunk: int, *, attempt: int = 0, last: bool = False) -> None:
        """Index a chunk's images, all at once so that they fill the model's batches, and record the results.

        `attempt` is how many times a process died during this chunk. If it is not 0, the images are indexed one by one,
        alternately in forward and reverse order, so that all images except a deadly one are indexed. In the `last` try,
        an error of one image, while store and storage answer, counts as that image's failure and not as the chunk's.
        """
        items = await self._ledger.begin(job_id, chunk)
        if items is None:
            return
        if attempt:
            ordered = items if attempt % 2 else items[::-1]
            results = [await self._index(item, last=last) for item in ordered]
        else:
            results = await self._index_all(items, last=last)
        await self._complete(job_id, chunk, items, results)

    async def give_up(self, job_id: str, chunk: int, reason: str) -> None:
        """Add a chunk to the dead letters and bury it; if that fails too, end the job as FAILED."""
        await self._ledger.dead_letters.add(job_id, chunk, reason)
        try:
            await self.bury(job_id, chunk)
        except ImageSimilarityError:
            raise
        # Any other error: the chunk must not come back for ever.
        except Exception as error:
            get_logger().error("chunk_not_buried", job_id=job_id, chunk=chunk, exc_info=error)
            await self._ledger.finish(job_id, JobState.FAILED)

    async def is_away(self) -> bool:
        """Return whether store or storage do not answer, so that a failure is not the chunk's fault."""
        # Check now, because the last background check may be from before the failure.
        await self._engine.health.look()
        return any(self._engine.health.problem(part) is not None for part in STORES)

    async def bury(self, job_id: str, chunk: int) -> None:
        """Give a chunk up: images that are indexed count as indexed, the others as failed."""
        items = await self._ledger.begin(job_id, chunk)
        if items is None:
            return
        get_logger().error("chunk_given_up", job_id=job_id, chunk=chunk, images=len(items))
        results = [await self._look_up(item) for item in items]
        await self._complete(job_id, chunk, items, results)

    async def _index_all(self, items: Sequence[Item], *, last: bool) -> list[Result]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._index(item, last=last)) for item in items]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        return [task.result() for task in tasks]

    async def _index(self, item: Item, *, last: bool) -> Result:
        async with self._places:
            try:
                return await (self._tag(item.image_id) if item.task == Task.TAG else self._index_and_tag(item))
            except IMAGE_ERRORS as error:
                return Failure(item.image_id, error.code, str(error))
            except ImageSimilarityError as error:
                if not last or await self.is_away():
                    raise
                get_logger().error("job_image_given_up", image_id=item.image_id, code=error.code, reason=str(error))
                return Failure(item.image_id, error.code, str(error))
            # Any other error is a bug of ours. It must only fail this image, and must be in the log.
            except Exception as error:
                get_logger().error("job_image_failed", image_id=item.image_id, exc_info=error)
                reason = "The server made a mistake; its log has the details."
                return Failure(item.image_id, ImageSimilarityError.code, reason)

    async def _index_and_tag(self, item: Item) -> Result:
        data = await self._ledger.read(item)
        if data is None:
            return Failure(item.image_id, "bytes_missing", f'There is nothing in the storage under "{item.key}".')
        result = await self._index_patiently(item, data)
        if result.untagged:
            await self._tag(item.image_id)
        return result

    async def _index_patiently(self, item: Item, data: bytes) -> IndexResult:
        # Reading an uploaded image has compared its bytes with this digest.
        index = partial(
            self._engine.index_image, data, image_id=item.image_id, metadata=item.metadata, digest=item.sha256
        )
        for attempt in range(_PATIENCE):
            try:
                return await index()
            except Overloaded as error:
                await asyncio.sleep(min(5.0, error.retry_after) * (attempt + 1) / 2)
        return await index()

    async def _tag(self, image_id: str) -> IndexResult:
        """Run the tagger on an indexed image; the image stays indexed if the tagger fails."""
        started, changed = perf_counter(), False
        try:
            changed = await self._engine.tag_image(image_id)
        except ImageNotFound:
            # The image was deleted meanwhile.
            pass
        except (*IMAGE_ERRORS, ModelUnavailable) as error:
            get_logger().warning("tagging_failed", image_id=image_id, code=error.code, reason=str(error))
        return IndexResult(image_id, created=False, changed=changed, processing_time_ms=_milliseconds_since(started))

    async def _look_up(self, item: Item) -> Result:
        try:
            record = await self._engine.get_image(item.image_id)
        except ImageNotFound:
            record = None
        if item.task != Task.TAG and record is not None and record.sha256 == await self._digest(item):
            return IndexResult(item.image_id, created=True, changed=True, processing_time_ms=0)
        reason = (
            "It, or another image of its chunk, took the process that indexed it down, or made it fail, every time."
        )
        return Failure(item.image_id, "poison_chunk", reason)

    async def _digest(self, item: Item) -> str | None:
        if item.sha256 is not None:
            return item.sha256
        data = await self._ledger.read(item)
        return None if data is None else hashlib.sha256(data).hexdigest()

    async def _complete(self, job_id: str, chunk: int, items: Sequence[Item], results: Sequence[Result]) -> None:
        failed = sum(isinstance(result, Failure) for result in results)
        counter = self._engine.metrics.job_images
        counter.labels("done").inc(len(results) - failed)
        counter.labels("failed").inc(failed)
        await self._ledger.complete(job_id, chunk, items, results)


def _milliseconds_since(started: float) -> float:
    return round((perf_counter() - started) * 1000, 3)
