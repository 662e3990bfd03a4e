"""Index many files on a server: upload them by the hundred; the server indexes them in the background."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from image_similarity.cli.index_local import Tally
from image_similarity.cli.remote_client import RemoteClient, RemoteError, RemoteNotFound
from image_similarity.domain.errors import IMAGE_ERRORS, InvalidRequest
from image_similarity.domain.records import Metadata, Outcome
from image_similarity.images.files import IdFrom, ImageFile, read_image

JOBS_AT_ONCE = 3
"""One in upload, one being indexed, one waiting; more would only fill the server's storage."""

STOP_SECONDS = 10.0
"""How long the command waits, after Ctrl-C, for a server that does not answer."""

UPLOAD_BYTES = 16 * 2**20
UPLOAD_FILES = 512

_SUCCESSES = (Outcome.INDEXED, Outcome.REPLACED, Outcome.UNCHANGED)
"""The outcomes that are read from a job's counts; its failures arrive one by one at its end."""


@dataclass(slots=True)
class _Upload:
    """Files that become one job."""

    images: list[tuple[str, bytes, Metadata]] = field(default_factory=list)
    paths: dict[str, Path] = field(default_factory=dict)
    size: int = 0


class RemoteBulk:
    """Uploads files and follows their jobs, keeping one tally."""

    def __init__(self, remote: RemoteClient, on_progress: Callable[[Tally], None]) -> None:
        self._remote = remote
        self._on_progress = on_progress
        self._tally = Tally()
        self._label = token_hex(8)
        """The label that all jobs of this upload have on the server."""
        self._submitted: set[asyncio.Task[str]] = set()
        """Uploads, running or done, whose jobs have not ended; each returns its job's id."""

    async def index(
        self, files: Iterable[ImageFile], *, id_from: IdFrom, metadata: Mapping[str, Metadata], max_bytes: int
    ) -> Tally:
        """Index every file; a file that cannot be indexed is recorded, and the others go on.

        Errors that are not about one file, such as StoreUnavailable and RemoteError, stop the run and are raised.
        """
        slots = asyncio.Semaphore(JOBS_AT_ONCE)

        async def run(upload: _Upload) -> None:
            try:
                await self._run(upload)
            finally:
                slots.release()

        try:
            async with asyncio.TaskGroup() as jobs:
                async for upload in self._uploads(files, id_from, metadata, max_bytes):
                    await slots.acquire()
                    jobs.create_task(run(upload))
        except BaseExceptionGroup as group:
            for submission in self._submitted:
                submission.cancel()
            await asyncio.gather(*self._submitted, return_exceptions=True)
            # The first failure cancelled the other uploads, so it is the one to report.
            raise group.exceptions[0] from group
        return self._tally

    async def stop(self) -> int:
        """Cancel the server's jobs after `index` was cancelled; return how many the server did not confirm.

        Waits for running uploads, because the server may still start a job for them.
        """
        ends = [asyncio.create_task(self._end(submission)) for submission in self._submitted]
        if not ends:
            return 0
        _, late = await asyncio.wait(ends, timeout=STOP_SECONDS)
        for end in late:
            end.cancel()
        return sum(isinstance(end, BaseException) for end in await asyncio.gather(*ends, return_exceptions=True))

    async def _end(self, submission: asyncio.Task[str]) -> None:
        # These mean that the server refused the upload, or that the job no longer exists.
        with suppress(InvalidRequest, RemoteNotFound):
            await self._remote.cancel_job(await submission)

    async def _uploads(
        self, files: Iterable[ImageFile], id_from: IdFrom, metadata: Mapping[str, Metadata], max_bytes: int
    ) -> AsyncIterator[_Upload]:
        upload = _Upload()
        for file in files:
            try:
                data = await asyncio.to_thread(read_image, file.path, max_bytes)
            except IMAGE_ERRORS as error:
                self._fail(file.path, str(error))
                continue
            if upload.images and (upload.size + len(data) > UPLOAD_BYTES or len(upload.images) == UPLOAD_FILES):
                yield upload
                upload = _Upload()
            image_id = file.image_id(id_from, data)
            if image_id in upload.paths:
                # The same content a second time, with the same id.
                self._tally.counts[Outcome.UNCHANGED] += 1
                continue
            upload.paths[image_id] = file.path
            upload.images.append((image_id, data, file.metadata(metadata)))
            upload.size += len(data)
        if upload.images:
            yield upload

    async def _run(self, upload: _Upload) -> None:
        submission = asyncio.create_task(self._remote.submit_batch(upload.images, upload=self._label))
        self._submitted.add(submission)
        try:
            # Shielded: Ctrl-C after the server accepted an upload, but before its answer, would lose the job's id.
            job_id = await asyncio.shield(submission)
        except InvalidRequest as error:
            self._submitted.discard(submission)
            if len(upload.images) == 1:
                image_id = upload.images[0][0]
                self._fail(upload.paths[image_id], str(error))
                return
            # One file is invalid, or the server's limit is smaller than the upload: try its halves.
            middle = len(upload.images) // 2
            for half in (upload.images[:middle], upload.images[middle:]):
                await self._run(_Upload(half, upload.paths))
            return
        upload.images.clear()
        await self._follow(job_id, upload.paths)
        self._submitted.discard(submission)

    async def _follow(self, job_id: str, paths: Mapping[str, Path]) -> None:
        counted: dict[str, int] = {}
        async for job in self._remote.follow(job_id):
            counts = job["counts"]
            for outcome in _SUCCESSES:
                self._tally.counts[outcome] += counts[outcome] - counted.get(outcome, 0)
            counted = counts
            self._note_failures(job, paths)
            self._on_progress(self._tally)
            if job["state"] in {"cancelled", "failed"}:
                raise RemoteError(f"Job {job_id} was {job['state']} on the server; index the folder again.")

    def _note_failures(self, job: dict[str, Any], paths: Mapping[str, Path]) -> None:
        # Only the last event has failures.
        for failure in job.get("failures", ()):
            path = paths.get(failure["image_id"], Path(failure["image_id"]))
            self._tally.fail(path, f"{failure['reason']} [{failure['code']}]")

    def _fail(self, path: Path, reason: str) -> None:
        self._tally.fail(path, reason)
        self._on_progress(self._tally)
