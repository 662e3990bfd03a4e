"""The documents of a job's record, read and written: what their names and their fields say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from image_similarity.jobs.base import Counts, Failure, Item, Job, JobState, Task
from image_similarity.storage.objects import Entry


def as_fields(item: Item) -> dict[str, Any]:
    """Return what a chunk's document says of an image."""
    fields = asdict(item)
    if item.task == Task.INDEX:
        # A worker of an earlier version knows no other.
        del fields["task"]
    return fields


def done_notes(entries: Sequence[Entry]) -> dict[int, str]:
    """Return the key of each done chunk's note; of several notes of one chunk always the same one."""
    keys = (entry.key for entry in entries if "/done/" in entry.key)
    return {int(key.rpartition("/")[2].partition(".")[0]): key for key in sorted(keys, reverse=True)}


def figures(key: str) -> list[int]:
    """Return indexed, replaced, unchanged, failed from the name of a chunk's note."""
    return [int(part) for part in key.rpartition("/")[2].split(".")[1:5]]


def counts_of(total: int, done: dict[int, str]) -> Counts:
    """Return the sums over the notes of done chunks."""
    sums: Counter[str] = Counter()
    for key in done.values():
        sums.update(dict(zip(("indexed", "replaced", "unchanged", "failed"), figures(key), strict=True)))
    return Counts(total=total, **sums)


def ended(job: Job, state: JobState) -> dict[str, Any]:
    """Return the document of a job's end, in `state` and now."""
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
        counts=Counts(**fields["counts"]),
        created_at=datetime.fromisoformat(fields["created_at"]),
        started_at=datetime.fromisoformat(fields["started_at"]) if fields["started_at"] else None,
        finished_at=datetime.fromisoformat(fields["finished_at"]),
        failures=tuple(Failure(**failure) for failure in fields["failures"]),
        upload=fields.get("upload"),
    )


def is_uuid(text: str) -> bool:
    """Tell whether a text is a UUID as they are written."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def made_at(job_id: str) -> float:
    """Return the moment in a UUIDv7, in seconds since the epoch; now for anything else, which is left alone."""
    return (UUID(job_id).int >> 80) / 1000 if is_uuid(job_id) else datetime.now(UTC).timestamp()
