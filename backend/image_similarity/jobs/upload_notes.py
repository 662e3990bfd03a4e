"""The jobs of each upload, and how each ended: empty objects in the storage, whose keys hold the information.

    uploads/LABEL/ID.32                     job ID, of 32 images, belongs to the upload LABEL
    uploads/LABEL/ID.32.completed.31.0.1.0  it ended: 31 indexed, 0 replaced, 1 unchanged, 0 failed

An upload of ten thousand images is hundreds of jobs, and a page polls every other second: one listing serves them all.
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
    """Writes and reads these notes. Every method raises StoreUnavailable."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def begin(self, upload: str, job_id: str, total: int) -> None:
        """Record that a job of `total` images belongs to an upload."""
        await self._objects.write(f"uploads/{upload}/{job_id}.{total}", b"")

    async def end(self, job: Job) -> None:
        """Record how a job of an upload ended; it is safe to repeat."""
        counts = job.counts
        await self._objects.write(f"uploads/{job.upload}/{job.job_id}.{counts.total}.{job.state}.{counts.figures}", b"")

    async def of(self, upload: str) -> list[Job]:
        """Return the jobs of an upload, oldest first, without failures; a job that has not ended counts as queued."""
        notes = await self._notes(f"uploads/{upload}")
        # The note of a job's end sorts after the note of its beginning, and replaces it.
        return list({note["id"]: _job_of(note, entry) for note, entry in notes}.values())

    async def labels(self) -> dict[str, str]:
        """Return the upload of each job that belongs to one, by job id."""
        return {note["id"]: note["upload"] for note, _ in await self._notes("uploads")}

    async def sweep(self, jobs: Container[str], *, older_than: float) -> None:
        """Delete the notes of jobs that are not in `jobs` and are older than `older_than` seconds."""
        oldest = datetime.now(UTC).timestamp() - older_than
        notes = await self._notes("uploads")
        ids = {note["id"] for note, _ in notes}
        gone = {job_id for job_id in ids if job_id not in jobs and made_at(job_id) < oldest}
        await self._objects.delete(*(entry.key for note, entry in notes if note["id"] in gone))

    async def _notes(self, prefix: str) -> list[tuple[re.Match[str], Entry]]:
        entries = await self._objects.entries(prefix)
        # Other objects under this prefix are not ours.
        return [(note, entry) for entry in entries if (note := _NOTE.fullmatch(entry.key)) is not None]


def _job_of(note: re.Match[str], entry: Entry) -> Job:
    made = datetime.fromtimestamp(made_at(note["id"]), UTC)
    if note["state"] is None:
        return Job(note["id"], JobState.QUEUED, IndexCounts(int(note["total"])), made, upload=note["upload"])
    counts = IndexCounts.from_figures(int(note["total"]), note["figures"])
    state = JobState(note["state"])
    return Job(note["id"], state, counts, made, finished_at=entry.modified, upload=note["upload"])
