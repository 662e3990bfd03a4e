"""Jobs of one label, told of as one."""

from __future__ import annotations

import pytest
from uuid_utils import uuid7

from image_similarity.domain.errors import JobNotFound
from image_similarity.domain.records import IndexCounts
from image_similarity.jobs.base import Failure, Item, JobState
from image_similarity.jobs.ledger import JobLedger
from image_similarity.jobs.uploads import Uploads
from image_similarity.storage.objects import Objects
from tests.support.jobs import successes

LABEL = "b5e2c7d09f4a41d8"
OLD = "01000000-0000-7000-8000-000000000000"
"""A UUIDv7 of the year 2004."""


@pytest.fixture
def ledger(objects: Objects) -> JobLedger:
    return JobLedger(objects)


@pytest.fixture
def uploads(ledger: JobLedger) -> Uploads:
    return Uploads(ledger)


async def handed_in(ledger: JobLedger, *, upload: str | None, job_id: str | None = None) -> str:
    """Return the id of a job of two images, in one chunk."""
    job_id = job_id or str(uuid7())
    await ledger.create(job_id, [[Item("a", "inbox/a", None), Item("b", "inbox/b", None)]], upload=upload)
    return job_id


async def done(ledger: JobLedger, job_id: str, *failed: str) -> None:
    """Index the images of a job but for those that `failed`."""
    items = await ledger.begin(job_id, 0)
    assert items is not None
    failures = tuple(Failure(name, "image_undecodable", f"{name} is damaged.") for name in failed)
    await ledger.complete(job_id, 0, items, [*successes(indexed=len(items) - len(failed)), *failures])


async def test_jobs_of_one_label_are_one_upload_from_the_first_to_the_last(ledger: JobLedger, uploads: Uploads) -> None:
    jobs = [await handed_in(ledger, upload=LABEL) for _ in range(3)]
    other = await handed_in(ledger, upload=None)
    assert (await uploads.get(LABEL)).state is JobState.QUEUED
    await ledger.begin(jobs[0], 0)
    assert (await uploads.get(LABEL)).state is JobState.RUNNING
    await done(ledger, jobs[0], "a-0")
    half = await uploads.get(LABEL)
    assert (half.state, half.counts) == (JobState.RUNNING, IndexCounts(total=6, indexed=1, failed=1))
    await done(ledger, jobs[1])
    await done(ledger, jobs[2], "a-2", "b-2")
    end = await uploads.get(LABEL)
    assert [job.job_id for job in end.jobs] == jobs
    assert (end.state, end.counts) == (JobState.COMPLETED_WITH_ERRORS, IndexCounts(total=6, indexed=3, failed=3))
    assert [upload.upload for upload in await uploads.newest(5)] == [other, LABEL]
    assert [upload.upload for upload in await uploads.newest(1)] == [other]
    later = await handed_in(ledger, upload=LABEL)
    assert [upload.upload for upload in await uploads.newest(5)] == [LABEL, other]
    await ledger.finish(later, JobState.CANCELLED)
    assert (await uploads.get(LABEL)).state is JobState.CANCELLED
    assert (await ledger.get(later)).upload == LABEL


async def test_failures_come_by_pages_over_all_jobs(ledger: JobLedger, uploads: Uploads) -> None:
    for failed in (["a-0"], [], ["a-2", "b-2"], ["a-3", "b-3"]):
        await done(ledger, await handed_in(ledger, upload=LABEL), *failed)
    # Of a job that is under way, too.
    upload = await uploads.get(LABEL)
    pages = [await uploads.failures(upload, offset=offset, limit=2) for offset in (0, 2, 4, 5)]
    assert [[failure.image_id for failure in page] for page in pages] == [["a-0", "a-2"], ["b-2", "a-3"], ["b-3"], []]


async def test_a_job_without_a_label_is_an_upload_by_itself(ledger: JobLedger, uploads: Uploads) -> None:
    job_id = await handed_in(ledger, upload=None)
    await done(ledger, job_id, "a")
    upload = await uploads.get(job_id)
    assert (upload.upload, upload.state, upload.counts.failed) == (job_id, JobState.COMPLETED_WITH_ERRORS, 1)
    assert len(await uploads.failures(upload, offset=0, limit=5)) == 1
    for missing in (str(uuid7()), "0123456789", "-"):
        with pytest.raises(JobNotFound, match=missing):
            await uploads.get(missing)


async def test_an_end_that_could_not_be_noted_is_noted_by_who_asks(
    ledger: JobLedger, uploads: Uploads, objects: Objects
) -> None:
    job_id = await handed_in(ledger, upload=LABEL)
    await done(ledger, job_id)
    [begun, end] = [entry.key for entry in await objects.entries("uploads")]
    await objects.delete(end)
    assert (await uploads.get(LABEL)).state is JobState.COMPLETED
    assert [entry.key for entry in await objects.entries("uploads")] == [begun, end]


async def test_an_upload_that_was_never_wholly_handed_in_is_none(
    ledger: JobLedger, uploads: Uploads, objects: Objects
) -> None:
    await ledger.uploads.begin(LABEL, str(uuid7()), 2)
    # And what somebody else left there is passed over.
    await objects.write(f"uploads/{LABEL}/.DS_Store", b"")
    await objects.write("uploads/stray", b"")
    with pytest.raises(JobNotFound, match=LABEL):
        await uploads.get(LABEL)
    assert await uploads.newest(5) == []


async def test_notes_are_forgotten_with_their_jobs(ledger: JobLedger, objects: Objects) -> None:
    for job_id in (OLD, str(uuid7())):
        await done(ledger, await handed_in(ledger, upload=LABEL, job_id=job_id))
    await ledger.uploads.begin(LABEL, OLD.replace("8000", "8001"), 2)
    await ledger.sweep(retention=3600.0)
    # It ended a moment ago, however old it is.
    assert len({job for job in await ledger.uploads.labels() if job in await ledger.ids()}) == 2
    assert OLD.replace("8000", "8001") not in await ledger.uploads.labels()
    await ledger.sweep(retention=-1.0)
    assert OLD not in await ledger.uploads.labels()
