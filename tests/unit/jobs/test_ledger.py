"""The record of jobs, in a folder and in a bucket."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from uuid_utils import uuid7

from image_similarity.domain.errors import ImageDamaged, JobNotFound
from image_similarity.jobs.base import Failure, Item, JobState
from image_similarity.jobs.ledger import JobLedger
from image_similarity.storage.objects import Objects
from tests.support.jobs import successes

OLD = "01000000-0000-7000-8000-000000000000"
"""A UUIDv7 of the year 2004."""


@pytest.fixture
def ledger(objects: Objects) -> JobLedger:
    return JobLedger(objects)


async def job_of(ledger: JobLedger, chunks: int = 2, *, job_id: str | None = None) -> tuple[str, list[list[Item]]]:
    job_id = job_id or str(uuid7())
    items = [Item(f"image-{n}", ledger.pending_key(job_id, n), "00") for n in range(2 * chunks)]
    for item in items:
        await ledger.write(item.key, b"bytes")
    split = [items[start : start + 2] for start in range(0, len(items), 2)]
    await ledger.create(job_id, split)
    return job_id, split


async def test_a_job_goes_from_queued_through_running_to_its_end(ledger: JobLedger, objects: Objects) -> None:
    job_id, chunks = await job_of(ledger)
    assert (await ledger.get(job_id)).state is JobState.QUEUED
    assert await ledger.begin(job_id, 0) == chunks[0]
    assert (await ledger.get(job_id)).state is JobState.RUNNING
    failure = Failure("image-1", "image_undecodable", "The file is truncated.")
    await ledger.complete(job_id, 0, chunks[0], [*successes(indexed=1), failure])
    half = await ledger.get(job_id)
    assert (half.counts.processed, half.counts.failed, half.failures) == (2, 1, (failure,))
    assert half.rate > 0
    assert half.eta_seconds is not None
    assert [entry.key for entry in await objects.entries(f"pending/{job_id}")] == [item.key for item in chunks[1]]
    assert await ledger.unfinished() == {job_id: [1]}
    await ledger.complete(job_id, 1, chunks[1], successes(replaced=2))
    end = await ledger.get(job_id)
    assert (end.state, end.counts.processed, end.failures) == (JobState.COMPLETED_WITH_ERRORS, 4, (failure,))
    assert await ledger.unfinished() == {}
    kept = [entry.key.rpartition("/")[2] for entry in await objects.entries("jobs")]
    assert kept == ["finished.json", "job.json"]
    assert await objects.entries("pending") == []


async def test_a_chunk_that_two_processes_finish_at_once_counts_once(ledger: JobLedger, objects: Objects) -> None:
    job_id, chunks = await job_of(ledger)
    second = JobLedger(objects)
    await asyncio.gather(
        ledger.complete(job_id, 0, chunks[0], successes(indexed=2)),
        second.complete(job_id, 0, chunks[0], successes(indexed=1, unchanged=1)),
    )
    assert (await ledger.get(job_id)).counts == (await second.get(job_id)).counts
    assert (await ledger.get(job_id)).counts.processed == 2
    assert await second.begin(job_id, 0) is None
    await asyncio.gather(
        *(each.complete(job_id, 1, chunks[1], successes(indexed=2)) for each in (ledger, second, ledger))
    )
    assert (await ledger.get(job_id)).counts.processed == 4
    assert (await ledger.get(job_id)).state is JobState.COMPLETED


async def test_a_job_ends_once(ledger: JobLedger, objects: Objects) -> None:
    job_id, chunks = await job_of(ledger)
    ends = await asyncio.gather(
        *(ledger.finish(job_id, state) for state in (JobState.CANCELLED, JobState.FAILED, JobState.CANCELLED))
    )
    assert len({end.state for end in ends}) == 1
    # A chunk that was under way meanwhile changes the report no more, and leaves nothing.
    await ledger.complete(job_id, 0, chunks[0], successes(indexed=2))
    assert await ledger.get(job_id) == ends[0]
    assert len(await objects.entries(f"jobs/{job_id}")) == 2
    assert await ledger.begin(job_id, 1) is None


async def test_a_process_that_died_before_the_end_was_noted_is_made_up_for(ledger: JobLedger, objects: Objects) -> None:
    job_id, _ = await job_of(ledger, chunks=1)
    await objects.write(f"jobs/{job_id}/done/000000.2.0.0.0.json", b"[]")
    assert await ledger.unfinished() == {job_id: []}
    assert await ledger.begin(job_id, 0) is None
    assert (await ledger.get(job_id)).state is JobState.COMPLETED


async def test_a_job_whose_record_is_damaged_fails(ledger: JobLedger, objects: Objects) -> None:
    job_id, _ = await job_of(ledger)
    await objects.delete(f"jobs/{job_id}/chunks/000001.json")
    assert await ledger.begin(job_id, 1) is None
    assert (await ledger.get(job_id)).state is JobState.FAILED


async def test_attempts_that_never_ended_are_counted(ledger: JobLedger) -> None:
    job_id, _ = await job_of(ledger)
    assert [await ledger.note_attempt(job_id, 0) for _ in range(3)] == [0, 1, 2]
    await ledger.end_attempt(job_id, 0, 2)
    assert await ledger.note_attempt(job_id, 0) == 2
    assert await ledger.note_attempt(job_id, 1) == 0


async def test_uploaded_bytes_that_were_damaged_are_not_indexed(ledger: JobLedger) -> None:
    item = Item("image-0", ledger.pending_key(str(uuid7()), 0), hashlib.sha256(b"as sent").hexdigest())
    await ledger.write(item.key, b"as sent")
    assert await ledger.read(item) == b"as sent"
    await ledger.write(item.key, b"as s\0\0\0")
    with pytest.raises(ImageDamaged, match="Upload the image again"):
        await ledger.read(item)


async def test_only_what_is_old_and_over_is_swept(ledger: JobLedger, objects: Objects) -> None:
    running, _ = await job_of(ledger, job_id=OLD)
    await objects.write(f"pending/{OLD[:-1]}1/000000", b"an upload that was broken off long ago")
    young = ledger.pending_key(str(uuid7()), 0)
    await ledger.write(young, b"an upload that is under way")
    await ledger.sweep(0.0)
    assert (await ledger.get(running)).state is JobState.QUEUED
    kept = [entry.key for entry in await objects.entries("pending")]
    assert kept == sorted([ledger.pending_key(OLD, n) for n in range(4)] + [young])
    await ledger.finish(running, JobState.CANCELLED)
    await ledger.sweep(3600.0)
    assert [job.job_id for job in await ledger.newest(10)] == [running]
    await ledger.sweep(-3600.0)
    assert await ledger.newest(10) == []
    with pytest.raises(JobNotFound):
        await ledger.get(running)
