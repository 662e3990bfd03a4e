"""The use cases of bulk jobs: submit, get, watch, cancel."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from time import monotonic

from uuid_utils import uuid7

from image_similarity.domain.errors import InvalidRequest, JobNotFound, StoreUnavailable
from image_similarity.domain.image_ids import check_image_id
from image_similarity.domain.metadata import check_metadata
from image_similarity.domain.records import IndexResult, Metadata
from image_similarity.filesystem.free_space import DiskSpace
from image_similarity.jobs.base import ChunkQueue, Item, Job, JobState, QueueInfo, Task
from image_similarity.jobs.ledger import JobLedger
from image_similarity.jobs.uploads import Uploads
from image_similarity.storage.inbox import INBOX
from image_similarity.storage.objects import check_key
from image_similarity.telemetry.logging import get_logger

_WRITES_AT_ONCE = 16
_POLL_SECONDS = 0.25
_SWEEP_SECONDS = 3600.0


class Draft:
    """A job whose images are arriving; `JobService.draft` creates one."""

    def __init__(self, ledger: JobLedger, disk: DiskSpace, *, max_images: int, upload: str | None) -> None:
        self._disk = disk
        self.job_id = str(uuid7())
        self.upload = upload
        self._ledger = ledger
        self._max_images = max_images
        self._items: list[Item] = []
        self._ids: set[str] = set()
        self._writing: set[asyncio.Task[None]] = set()

    async def add(self, data: bytes, *, image_id: str | None = None, metadata: Metadata | None = None) -> None:
        """Add an image.

        Raises InvalidRequest if its id or its metadata is invalid or there are too many images; DiskFull,
        StoreUnavailable.
        """
        # Checked per image, because an archive may be a thousand times larger when it is unpacked.
        await self._disk.check()
        image_id = self._check(image_id)
        digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        while len(self._writing) >= _WRITES_AT_ONCE:
            await self._wait_for_one()
        key = self._ledger.pending_key(self.job_id, len(self._items))
        self._items.append(Item(image_id, key, digest, check_metadata(metadata or {})))
        self._writing.add(asyncio.create_task(self._ledger.write(key, data)))

    def refer(self, key: str, *, image_id: str | None = None, metadata: Metadata | None = None) -> None:
        """Add an image that is in the storage already, below `inbox/`. Raises InvalidRequest."""
        steps = key.split("/")
        if not key.startswith(INBOX) or not key.isprintable() or {"", ".", ".."} & set(steps):
            raise InvalidRequest(f'storage_key must be a plain path below "{INBOX}"; got {key[:120]!r}.')
        check_key(key)
        image_id = self._check(image_id if image_id is not None else key.removeprefix(INBOX))
        self._items.append(Item(image_id, key, None, check_metadata(metadata or {})))

    async def items(self, metadata: dict[str, Metadata] | None = None) -> list[Item]:
        """Wait until all images are stored and return them; `metadata`, by id, is for images that have none yet.

        Raises InvalidRequest if there is no image, or if there is metadata for an unknown id; StoreUnavailable.
        """
        while self._writing:
            await self._wait_for_one()
        if not self._items:
            raise InvalidRequest("There are no images in the request.")
        for image_id in metadata or {}:
            if image_id not in self._ids:
                raise InvalidRequest(f'There is metadata for "{image_id[:120]}", but no such image.')
        given = {image_id: check_metadata(fields) for image_id, fields in (metadata or {}).items()}
        return [
            Item(item.image_id, item.key, item.sha256, item.metadata or given.get(item.image_id, {}))
            for item in self._items
        ]

    async def discard(self) -> None:
        """Remove the images that were stored."""
        # Wait instead of cancelling: a write that has begun goes on in its thread and would leave a file behind.
        await asyncio.gather(*self._writing, return_exceptions=True)
        # Files that cannot be removed now are swept later, like those of an interrupted upload.
        with suppress(StoreUnavailable):
            await self._ledger.forget(self.job_id)

    def _check(self, image_id: str | None) -> str:
        if len(self._items) >= self._max_images:
            raise InvalidRequest(f"A job holds at most {self._max_images} images (MAX_BATCH_IMAGES); make several.")
        image_id = str(uuid7()) if image_id is None else check_image_id(image_id)
        if image_id in self._ids:
            raise InvalidRequest(f'Two images of the request would both get the id "{image_id}".')
        self._ids.add(image_id)
        return image_id

    async def _wait_for_one(self) -> None:
        done, self._writing = await asyncio.wait(self._writing, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


class JobService:
    """The use cases. Every method may raise StoreUnavailable; methods that take an id also JobNotFound."""

    def __init__(
        self,
        ledger: JobLedger,
        queue: ChunkQueue,
        disk: DiskSpace,
        *,
        chunk_size: int,
        max_images: int,
        retention: float,
    ) -> None:
        self._ledger = ledger
        self._disk = disk
        self._queue = queue
        self._chunk_size = chunk_size
        self._max_images = max_images
        self._retention = retention
        self._swept_at = 0.0
        self.uploads = Uploads(ledger)

    async def start(self) -> None:
        """Start to work on jobs, including those that an earlier process left unfinished."""
        await self._sweep()
        await self._queue.start()

    @asynccontextmanager
    async def draft(self, *, upload: str | None = None) -> AsyncIterator[Draft]:
        """Open a draft for the images of a job; if the block ends with an error, the draft is removed.

        `uploads` shows jobs with the same `upload`, a label of lower-case letters and digits, as one.
        """
        draft = Draft(self._ledger, self._disk, max_images=self._max_images, upload=upload)
        try:
            yield draft
        except BaseException:
            await draft.discard()
            raise

    async def submit(self, draft: Draft, metadata: dict[str, Metadata] | None = None) -> Job:
        """Turn a draft into a job, and return its state. Raises InvalidRequest as `Draft.items` does."""
        items = await draft.items(metadata)
        chunks = [items[start : start + self._chunk_size] for start in range(0, len(items), self._chunk_size)]
        await self._ledger.create(draft.job_id, chunks, upload=draft.upload)
        await self._queue.put(draft.job_id, range(len(chunks)))
        await self._sweep()
        return await self._ledger.get(draft.job_id)

    async def tag(self, image_ids: Sequence[str]) -> str:
        """Start a job that runs the tagger on indexed images; return its id."""
        job_id = str(uuid7())
        await self._ledger.create(job_id, [[Item(image_id, "", None, task=Task.TAG) for image_id in image_ids]])
        await self._queue.put(job_id, [0])
        return job_id

    async def tag_later(self, result: IndexResult) -> str | None:
        """Start a job that runs the tagger on an image that was just indexed, if it needs it; return the job's id.

        None if there is nothing to do, or if the job could not be stored. The image is indexed in any case: if
        the client sends the same request again, tagging is tried again.
        """
        if not result.untagged:
            return None
        try:
            return await self.tag([result.image_id])
        except StoreUnavailable as error:
            get_logger().warning("tagging_not_begun", image_id=result.image_id, reason=str(error))
            return None

    async def get(self, job_id: str) -> Job:
        """Return the current state of a job, with its dead letters."""
        return await self._with_dead_letters(await self._ledger.get(job_id))

    async def newest(self, limit: int) -> list[Job]:
        """Return the latest jobs, newest first."""
        return await self._ledger.newest(limit)

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job: chunks in progress are finished, the others never begin. An ended job stays as it is."""
        return await self._with_dead_letters(await self._ledger.finish(job_id, JobState.CANCELLED))

    async def watch(self, job_id: str) -> AsyncIterator[Job]:
        """Yield the current state of a job, and again after each change, until the job has ended."""
        shown: Job | None = None
        while shown is None or not shown.state.ended:
            try:
                job = await self._ledger.get(job_id)
            except JobNotFound:
                # The job has ended, and its report was deleted meanwhile.
                if shown is None:
                    raise
                return
            if shown is None or (job.state, job.counts) != (shown.state, shown.counts):
                shown = job
                yield await self._with_dead_letters(job) if job.state.ended else job
            else:
                await asyncio.sleep(_POLL_SECONDS)

    async def info(self) -> QueueInfo:
        """Return the state of the queue, which may be a few seconds old; never raises."""
        return await self._queue.info()

    async def close(self) -> None:
        """Stop working on jobs."""
        await self._queue.close()

    async def _with_dead_letters(self, job: Job) -> Job:
        return replace(job, dead_letters=await self._ledger.dead_letters.of(job.job_id))

    async def _sweep(self) -> None:
        if self._swept_at and monotonic() - self._swept_at < _SWEEP_SECONDS:
            return
        self._swept_at = monotonic()
        # A failed sweep must not fail the request.
        with suppress(StoreUnavailable):
            await self._ledger.sweep(self._retention)
