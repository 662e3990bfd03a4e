"""Read and write the documents of a job: their keys and their fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from image_similarity.domain.records import IndexCounts
from image_similarity.domain.uuids import time_of
from image_similarity.jobs.base import Failure, Item, Job, JobState, Task
from image_similarity.storage.objects import Entry


def as_fields(item: Item) -> dict[str, Any]:
    """Return the fields of an image in a chunk's document."""
    fields = asdict(item)
    if item.task == Task.INDEX:
        # A worker of an earlier version does not accept the field, and knows only this task.
        del fields["task"]
    return fields


def done_notes(entries: Sequence[Entry]) -> dict[int, str]:
    """Return the key of each done chunk's note; if a chunk has several notes, always the same one."""
    keys = (entry.key for entry in entries if "/done/" in entry.key)
    return {int(key.rpartition("/")[2].partition(".")[0]): key for key in sorted(keys, reverse=True)}


def done_key(job_id: str, chunk: int, counts: IndexCounts) -> str:
    """Return the key of a done chunk's note."""
    return f"jobs/{job_id}/done/{chunk:06}.{counts.figures}.json"


def done_counts(key: str) -> IndexCounts:
    """Return the counts in the key of a done chunk's note; the total is 0."""
    return IndexCounts.from_figures(0, key.rpartition("/")[2].partition(".")[2].removesuffix(".json"))


def counts_of(total: int, done: dict[int, str]) -> IndexCounts:
    """Return the sums over the notes of done chunks."""
    return sum(map(done_counts, done.values()), IndexCounts(total))


def ended(job: Job, state: JobState) -> dict[str, Any]:
    """Return the document of a job that ends now, in `state`."""
    return {
        "state": state,
        "counts": asdict(job.counts),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": datetime.now(UTC),
        "failures": [asdict(failure) for failure in job.failures],
        "upload": job.upload,
    }


def finished_job(job_id: str, fields: dict[str, Any]) -> Job:
    """Read the document of a job's end. Raises KeyError, TypeError or ValueError if it is damaged."""
    return Job(
        job_id=job_id,
        state=JobState(fields["state"]),
        counts=IndexCounts(**fields["counts"]),
        created_at=datetime.fromisoformat(fields["created_at"]),
        started_at=datetime.fromisoformat(fields["started_at"]) if fields["started_at"] else None,
        finished_at=datetime.fromisoformat(fields["finished_at"]),
        failures=tuple(Failure(**failure) for failure in fields["failures"]),
        upload=fields.get("upload"),
    )


def is_uuid(text: str) -> bool:
    """Return whether a text is a UUID in its canonical form."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def made_at(job_id: str) -> float:
    """Return the time in a UUIDv7, in seconds since the epoch; now for any other id, so that it is never swept."""
    return (time_of(job_id) if is_uuid(job_id) else datetime.now(UTC)).timestamp()
