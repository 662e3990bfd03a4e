"""The ledger of bulk jobs: small documents in the same storage as the images, so that all processes share it.

    pending/ID/000017           an uploaded image, until its chunk is done
    jobs/ID/chunks/000000.json  which images a chunk holds
    jobs/ID/job.json            written last when a job is submitted: with it the job exists
    jobs/ID/dispatched          all chunks have been sent to the broker
    jobs/ID/started             empty; its modification time is the start
    jobs/ID/attempts/000000.1   an in-process attempt at a chunk began and has not ended
    jobs/ID/done/000000.30.0.1.1.json  a chunk is done: 30 indexed, 0 replaced, 1 unchanged, 1 failed (inside)
    jobs/ID/finished.json       how the job ended; everything else except job.json is then removed

Counting is idempotent, because counts come from a listing: a chunk that was done twice is still one number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import orjson

from image_similarity.domain.errors import ImageDamaged, JobNotFound
from image_similarity.domain.records import IndexCounts, IndexResult
from image_similarity.jobs import records
from image_similarity.jobs.base import Failure, Item, Job, JobState
from image_similarity.jobs.dead_letters import DeadLetters
from image_similarity.jobs.failure_notes import FailureNotes
from image_similarity.jobs.records import done_notes, is_uuid, made_at
from image_similarity.jobs.upload_notes import UploadNotes
from image_similarity.storage.inbox import INBOX
from image_similarity.storage.objects import DAMAGED, Entry, Objects, check_key

ABANDONED_UPLOAD = 86_400.0
"""Seconds after which an upload that never became a job counts as abandoned."""


class JobLedger:
    """Reads and writes these documents. Every method raises StoreUnavailable if the storage does not answer."""

    def __init__(self, objects: Objects, *, max_image_bytes: int = 20 * 2**20) -> None:
        """`max_image_bytes` limits the size of an image that a caller put into the storage itself."""
        self._objects = objects
        self._max_image_bytes = max_image_bytes
        self.dead_letters = DeadLetters(objects)
        self.uploads = UploadNotes(objects)
        self._failures = FailureNotes(objects)

    def pending_key(self, job_id: str, number: int) -> str:
        """Return the key of an uploaded image, which is kept until its chunk is done."""
        return f"pending/{job_id}/{number:06}"

    async def write(self, key: str, data: bytes) -> None:
        """Store an uploaded image."""
        await self._objects.write(key, data)

    async def read(self, item: Item) -> bytes | None:
        """Return an image's bytes, or None if they are missing.

        Raises InvalidRequest if the key is invalid, ImageDamaged if the bytes differ from the uploaded ones, and as
        `Objects.read_foreign`.
        """
        check_key(item.key)
        if item.key.startswith(INBOX):
            return await self._objects.read_foreign(item.key, max_bytes=self._max_image_bytes)
        data = await self._objects.read(item.key)
        if data is not None and not await asyncio.to_thread(item.matches, data):
            raise ImageDamaged("The uploaded bytes were damaged in the storage. Upload the image again.")
        return data

    async def create(self, job_id: str, chunks: Sequence[Sequence[Item]], *, upload: str | None = None) -> None:
        """Store a job, as part of an `upload` if it has a label; from then on it exists."""
        total = sum(map(len, chunks))
        if upload is not None:
            await self.uploads.begin(upload, job_id, total)
        for number, items in enumerate(chunks):
            document = orjson.dumps([records.as_fields(item) for item in items])
            await self._objects.write(f"jobs/{job_id}/chunks/{number:06}.json", document)
        header = {"created_at": datetime.now(UTC), "total": total, "chunks": len(chunks), "upload": upload}
        await self._objects.write(f"jobs/{job_id}/job.json", orjson.dumps(header))

    async def get(self, job_id: str) -> Job:
        """Return the current state of a job. Raises JobNotFound."""
        if not is_uuid(job_id):
            raise JobNotFound(f'There is no job "{job_id[:60]}".')
        entries = await self._objects.entries(f"jobs/{job_id}")
        # Read after the listing: documents are removed only after the job's end was written, so if they are missing in
        # the listing, the end is found here.
        finished = await self._end(job_id, entries)
        if finished is not None:
            return records.finished_job(job_id, finished)
        header = await self._header(job_id)
        done = done_notes(entries)
        started = next((entry.modified for entry in entries if entry.key == f"jobs/{job_id}/started"), None)
        return Job(
            job_id=job_id,
            state=JobState.RUNNING if started or done else JobState.QUEUED,
            counts=records.counts_of(header["total"], done),
            created_at=datetime.fromisoformat(header["created_at"]),
            started_at=started,
            failures=await self._failures.read(done),
            upload=header.get("upload"),
        )

    async def ids(self) -> list[str]:
        """Return the ids of all jobs, oldest first, because UUIDv7 sort by their time."""
        return await self._objects.folders("jobs")

    async def newest(self, limit: int) -> list[Job]:
        """Return the jobs that were submitted last, newest first."""
        found: list[Job] = []
        ids = (await self.ids())[::-1]
        while ids and len(found) < limit:
            page, ids = ids[:limit], ids[limit:]
            answers = await asyncio.gather(*(self.get(job_id) for job_id in page), return_exceptions=True)
            for answer in answers:
                if isinstance(answer, Job):
                    found.append(answer)
                elif not isinstance(answer, JobNotFound):
                    raise answer
        return found[:limit]

    async def unfinished(self) -> dict[str, list[int]]:
        """Return the chunks that are not done, by job, oldest job first."""
        left: dict[str, list[int]] = {}
        for job_id in await self.ids():
            if (chunks := await self.open_chunks(job_id)) is not None:
                left[job_id] = chunks
        return left

    async def open_chunks(self, job_id: str) -> list[int] | None:
        """Return the chunks of a job that are not done, or None if the job has ended or never existed."""
        entries = await self._objects.entries(f"jobs/{job_id}")
        if await self._end(job_id, entries) is not None:
            return None
        try:
            chunks = (await self._header(job_id))["chunks"]
        except JobNotFound:
            return None
        done = done_notes(entries)
        return [number for number in range(chunks) if number not in done]

    async def is_dispatched(self, job_id: str) -> bool:
        """Return whether all of a job's chunks were sent to the broker."""
        return await self._objects.read(f"jobs/{job_id}/dispatched") is not None

    async def mark_dispatched(self, job_id: str) -> None:
        """Record that all of a job's chunks were sent to the broker."""
        await self._objects.write(f"jobs/{job_id}/dispatched", b"")

    async def is_begun(self, job_id: str) -> bool:
        """Return whether a chunk of the job has begun."""
        return await self._objects.read(f"jobs/{job_id}/started") is not None

    async def idle_seconds(self, job_id: str) -> float:
        """Return the seconds since the last write to a job's documents."""
        entries = await self._objects.entries(f"jobs/{job_id}")
        newest = max((entry.modified.timestamp() for entry in entries), default=0.0)
        return datetime.now(UTC).timestamp() - newest

    async def begin(self, job_id: str, chunk: int) -> list[Item] | None:
        """Return a chunk's images, or None if there is nothing to do: it is done, or the job has ended."""
        remaining = await self.open_chunks(job_id)
        if remaining is None:
            return None
        if chunk not in remaining:
            # The process that did it may have died before it checked whether this was the last chunk.
            await self._finish_if_done(job_id, remaining)
            return None
        document = await self._objects.read_json(f"jobs/{job_id}/chunks/{chunk:06}.json")
        if document is None:
            await self.finish(job_id, JobState.FAILED)
            return None
        await self._objects.create(f"jobs/{job_id}/started", b"")
        return [Item(**fields) for fields in document]

    async def note_attempt(self, job_id: str, chunk: int) -> int:
        """Record that an attempt at a chunk begins; return how many earlier attempts never ended."""
        prefix = f"{chunk:06}."
        entries = await self._objects.entries(f"jobs/{job_id}/attempts")
        before = sum(1 for entry in entries if entry.key.rpartition("/")[2].startswith(prefix))
        await self._objects.write(f"jobs/{job_id}/attempts/{prefix}{before}", b"")
        return before

    async def end_attempt(self, job_id: str, chunk: int, attempt: int) -> None:
        """Record that an attempt ended, with or without success."""
        await self._objects.delete(f"jobs/{job_id}/attempts/{chunk:06}.{attempt}")

    async def complete(
        self, job_id: str, chunk: int, items: Sequence[Item], results: Sequence[IndexResult | Failure]
    ) -> None:
        """Record the results of a chunk's images, remove its uploads, and finish the job if it was the last chunk."""
        open_chunks = await self.open_chunks(job_id)
        if open_chunks is not None and chunk in open_chunks:
            counts = IndexCounts.of([result.outcome for result in results])
            document = orjson.dumps([asdict(result) for result in results if isinstance(result, Failure)])
            await self._objects.write(records.done_key(job_id, chunk, counts), document)
        await self._objects.delete(*(item.key for item in items if item.key.startswith("pending/")))
        remaining = await self.open_chunks(job_id)
        if remaining is None:
            # The job ended meanwhile, and its clean-up may have run before this chunk's note was written.
            await self._objects.delete_all(f"jobs/{job_id}/done")
        else:
            await self._finish_if_done(job_id, remaining)

    async def finish(self, job_id: str, state: JobState | None = None) -> Job:
        """End a job in `state`, by default COMPLETED or COMPLETED_WITH_ERRORS; only the first end counts.

        Raises JobNotFound.
        """
        job = await self.get(job_id)
        if not job.state.ended:
            natural = JobState.COMPLETED_WITH_ERRORS if job.counts.failed else JobState.COMPLETED
            document = orjson.dumps(records.ended(job, state or natural))
            await self._objects.create(f"jobs/{job_id}/finished.json", document)
            await self._clean(job_id)
            job = await self.get(job_id)
            if job.upload is not None:
                await self.uploads.end(job)
        return job

    async def forget(self, job_id: str) -> None:
        """Remove all documents and uploaded images of a job."""
        await self._objects.delete_all(f"pending/{job_id}")
        await self._objects.delete_all(f"jobs/{job_id}")

    async def sweep(self, retention: float) -> None:
        """Remove jobs that ended more than `retention` seconds ago, and uploads that were interrupted."""
        now = datetime.now(UTC).timestamp()
        for job_id in await self.ids():
            if now - made_at(job_id) > retention:
                try:
                    job = await self.get(job_id)
                except JobNotFound:
                    continue
                if job.finished_at is not None and now - job.finished_at.timestamp() > retention:
                    await self.forget(job_id)
        await self.dead_letters.sweep(retention)
        await self.uploads.sweep(set(await self.ids()), older_than=ABANDONED_UPLOAD)
        for job_id in await self._objects.folders("pending"):
            if now - made_at(job_id) > ABANDONED_UPLOAD and await self.open_chunks(job_id) is None:
                await self._objects.delete_all(f"pending/{job_id}")

    async def _header(self, job_id: str) -> dict[str, Any]:
        header: dict[str, Any] | None = await self._objects.read_json(f"jobs/{job_id}/job.json")
        if header is None and await self._objects.read(f"{DAMAGED}/jobs/{job_id}/job.json") is not None:
            header = await self._mend_header(job_id)
        if header is None:
            raise JobNotFound(f'There is no job "{job_id}"; reports are kept for a while only (JOB_RETENTION).')
        return header

    async def _mend_header(self, job_id: str) -> dict[str, Any] | None:
        """Store a job's document again from its chunks, which were written before it; None if there are none."""
        keys = [entry.key for entry in await self._objects.entries(f"jobs/{job_id}/chunks")]
        if not keys:
            return None
        total = sum([len(await self._objects.read_json(key) or ()) for key in keys])
        created_at = datetime.fromtimestamp(made_at(job_id), UTC).isoformat()
        header = {"created_at": created_at, "total": total, "chunks": len(keys)}
        await self._objects.write(f"jobs/{job_id}/job.json", orjson.dumps(header))
        return header

    async def _end(self, job_id: str, entries: Sequence[Entry]) -> dict[str, Any] | None:
        """Return the document of a job's end, None before it; `entries` must have been listed before.

        If it is damaged, the job ends again, from the notes of its chunks, or as FAILED if they were removed by then.
        """
        key = f"jobs/{job_id}/finished.json"
        document: dict[str, Any] | None = await self._objects.read_json(key)
        keys = {entry.key for entry in entries}
        if document is None and key in keys and not any("/chunks/" in other for other in keys):
            moment = datetime.fromtimestamp(made_at(job_id), UTC).isoformat()
            document = {"state": JobState.FAILED, "counts": {}, "failures": [], "started_at": None}
            document |= {"created_at": moment, "finished_at": datetime.now(UTC).isoformat()}
            await self._objects.create(key, orjson.dumps(document))
        return document

    async def _finish_if_done(self, job_id: str, remaining: list[int]) -> None:
        if not remaining:
            await self.finish(job_id)

    async def _clean(self, job_id: str) -> None:
        await self._objects.delete_all(f"pending/{job_id}")
        kept = {f"jobs/{job_id}/finished.json", f"jobs/{job_id}/job.json"}
        entries = await self._objects.entries(f"jobs/{job_id}")
        await self._objects.delete(*(entry.key for entry in entries if entry.key not in kept))
