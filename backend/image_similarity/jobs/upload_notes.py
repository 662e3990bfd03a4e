"""Which jobs were handed in under one label, and how each of them ended: names in the storage, and nothing to read.

    uploads/LABEL/ID.32                     job ID, of 32 images, belongs to the upload LABEL
    uploads/LABEL/ID.32.completed.31.0.1.0  it ended: 31 indexed, 0 replaced, 1 unchanged, 0 failed

An upload of ten thousand images is hundreds of jobs, and a page asks every other second: one listing tells of them all.
"""

from __future__ import annotations

import re
from collections.abc import Container
from datetime import UTC, datetime

from image_similarity.domain.records import IndexCounts
from image_similarity.jobs.base import Job, JobState
from image_similarity.jobs.records import made_at
from image_similarity.storage.objects import Entry, Objects

_STATES = "|".join(state for state in JobState if state.ended)
_NOTE = re.compile(
    rf"uploads/(?P<upload>[a-z0-9]+)/(?P<id>[0-9a-f-]{{36}})\.(?P<total>\d+)"
    rf"(\.(?P<state>{_STATES})\.(?P<figures>\d+(\.\d+){{3}}))?"
)


class UploadNotes:
    """Writes and reads those notes. Every method raises StoreUnavailable."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def begin(self, upload: str, job_id: str, total: int) -> None:
        """Note that a job of `total` images belongs to an upload."""
        await self._objects.write(f"uploads/{upload}/{job_id}.{total}", b"")

    async def end(self, job: Job) -> None:
        """Note how a job of an upload ended; noting it twice changes nothing."""
        counts = job.counts
        await self._objects.write(f"uploads/{job.upload}/{job.job_id}.{counts.total}.{job.state}.{counts.figures}", b"")

    async def of(self, upload: str) -> list[Job]:
        """Return the jobs of an upload, oldest first, without failures; one without an end counts as queued."""
        notes = await self._notes(f"uploads/{upload}")
        # A note of an end comes after that of its job, and takes its place.
        return list({note["id"]: _job_of(note, entry) for note, entry in notes}.values())

    async def labels(self) -> dict[str, str]:
        """Return the uploads of all jobs that belong to one."""
        return {note["id"]: note["upload"] for note, _ in await self._notes("uploads")}

    async def sweep(self, jobs: Container[str], *, older_than: float) -> None:
        """Forget notes of jobs that are not among `jobs` and were made more than `older_than` seconds ago."""
        oldest = datetime.now(UTC).timestamp() - older_than
        notes = await self._notes("uploads")
        ids = {note["id"] for note, _ in notes}
        gone = {job_id for job_id in ids if job_id not in jobs and made_at(job_id) < oldest}
        await self._objects.delete(*(entry.key for note, entry in notes if note["id"] in gone))

    async def _notes(self, prefix: str) -> list[tuple[re.Match[str], Entry]]:
        entries = await self._objects.entries(prefix)
        # What somebody else put beside them is none of ours.
        return [(note, entry) for entry in entries if (note := _NOTE.fullmatch(entry.key)) is not None]


def _job_of(note: re.Match[str], entry: Entry) -> Job:
    made = datetime.fromtimestamp(made_at(note["id"]), UTC)
    if note["state"] is None:
        return Job(note["id"], JobState.QUEUED, IndexCounts(int(note["total"])), made, upload=note["upload"])
    counts = IndexCounts.from_figures(int(note["total"]), note["figures"])
    state = JobState(note["state"])
    return Job(note["id"], state, counts, made, finished_at=entry.modified, upload=note["upload"])
