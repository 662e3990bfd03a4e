"""What a power cut may leave: documents that are empty or cut off. Each is set aside; nothing else is lost by it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import pytest
from uuid_utils import uuid7

from image_similarity.domain.errors import JobNotFound, StoreUnavailable
from image_similarity.domain.records import ImageRecord
from image_similarity.engine.feedback.events import Verdict
from image_similarity.engine.feedback.log import FeedbackLog
from image_similarity.jobs.base import Failure, Item, JobState
from image_similarity.jobs.ledger import JobLedger
from image_similarity.storage.objects import Objects
from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.qdrant_edge.store import EmbeddedStore, inspect_collection
from tests.support.engines import RED, running_engine
from tests.support.jobs import successes

TORN = [b"", b'{"total":', bytes(300)]


@pytest.fixture
def damaged() -> list[str]:
    return []


@pytest.fixture
def objects(tmp_path: Path, damaged: list[str]) -> Objects:
    return Objects.open(None, default=tmp_path, on_damage=lambda: damaged.append("one"))


@pytest.fixture
def ledger(objects: Objects) -> JobLedger:
    return JobLedger(objects)


async def job_of(ledger: JobLedger, chunks: int = 2) -> tuple[str, list[list[Item]]]:
    job_id = str(uuid7())
    split = [[Item(f"image-{n}", ledger.pending_key(job_id, n), "00")] for n in range(chunks)]
    for [item] in split:
        await ledger.write(item.key, b"bytes")
    await ledger.create(job_id, split)
    return job_id, split


@pytest.mark.parametrize("torn", TORN)
async def test_the_head_of_an_open_job_is_written_again_from_its_chunks(
    ledger: JobLedger, objects: Objects, damaged: list[str], torn: bytes
) -> None:
    job_id, chunks = await job_of(ledger)
    before = await ledger.get(job_id)
    await objects.write(f"jobs/{job_id}/job.json", torn)
    assert await ledger.unfinished() == {job_id: [0, 1]}
    after = await ledger.get(job_id)
    assert (after.state, after.counts) == (before.state, before.counts)
    assert abs(after.created_at - before.created_at).total_seconds() < 5
    for number, items in enumerate(chunks):
        await ledger.complete(job_id, number, items, successes(indexed=1))
    assert (await ledger.get(job_id)).state is JobState.COMPLETED
    assert len(damaged) == 1
    assert await objects.read(f"damaged/jobs/{job_id}/job.json") == torn


@pytest.mark.parametrize("torn", TORN)
async def test_the_end_of_an_old_job_hides_no_other(ledger: JobLedger, objects: Objects, torn: bytes) -> None:
    other, _ = await job_of(ledger)
    job_id, chunks = await job_of(ledger, chunks=1)
    await ledger.complete(job_id, 0, chunks[0], successes(indexed=1))
    await objects.write(f"jobs/{job_id}/finished.json", torn)
    assert {(job.job_id, job.state) for job in await ledger.newest(10)} == {
        (other, JobState.QUEUED),
        (job_id, JobState.FAILED),
    }
    assert await ledger.unfinished() == {other: [0, 1]}
    assert (await ledger.get(job_id)).state is JobState.FAILED


async def test_an_end_that_was_torn_before_the_cleaning_comes_again_as_it_was(
    ledger: JobLedger, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, chunks = await job_of(ledger, chunks=1)

    async def nothing(_: str) -> None: ...

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "_clean", nothing)
        await ledger.complete(job_id, 0, chunks[0], [Failure("image-0", "x", "y")])
    before = await ledger.get(job_id)
    await objects.write(f"jobs/{job_id}/finished.json", b"")
    assert await ledger.unfinished() == {job_id: []}
    assert await ledger.begin(job_id, 0) is None
    after = await ledger.get(job_id)
    assert (after.state, after.counts, after.failures) == (before.state, before.counts, before.failures)


@pytest.mark.parametrize("torn", TORN)
async def test_a_torn_chunk_ends_its_job_and_says_so(ledger: JobLedger, objects: Objects, torn: bytes) -> None:
    job_id, _ = await job_of(ledger)
    await objects.write(f"jobs/{job_id}/chunks/000001.json", torn)
    assert await ledger.begin(job_id, 1) is None
    assert (await ledger.get(job_id)).state is JobState.FAILED


async def test_a_torn_note_of_a_chunk_costs_the_names_of_its_failures_only(ledger: JobLedger, objects: Objects) -> None:
    job_id, chunks = await job_of(ledger)
    await ledger.complete(job_id, 0, chunks[0], [Failure("image-0", "x", "y")])
    await objects.write(f"jobs/{job_id}/done/000000.0.0.0.1.json", b"")
    job = await JobLedger(objects).get(job_id)
    assert (job.counts.failed, job.failures) in {(1, ()), (0, ())}


async def test_a_job_that_never_was_is_not_made_of_nothing(ledger: JobLedger, objects: Objects) -> None:
    job_id = str(uuid7())
    await objects.write(f"jobs/{job_id}/job.json", b"")
    with pytest.raises(JobNotFound):
        await ledger.get(job_id)
    assert await ledger.unfinished() == {}


@pytest.mark.parametrize("torn", TORN)
async def test_a_torn_deletion_is_final_and_a_torn_request_counts_as_the_first(
    tmp_path: Path, objects: Objects, torn: bytes
) -> None:
    async with running_engine(tmp_path) as rig:
        await rig.engine.index_image(RED, image_id="red")
        await rig.engine.delete_image("red", undo_seconds=60)
        for path in (tmp_path / "trash" / "photos" / "images").rglob("*"):
            if path.is_file():
                path.write_bytes(torn)
        assert await rig.trash.find("red") is None
    log = FeedbackLog(objects, collection="photos", model="m", retention=0)
    await log.add("red", Verdict.POSITIVE, request_key="key")
    for path in (tmp_path / "feedback" / "photos" / "requests").iterdir():
        path.write_bytes(torn)
    assert (await log.add("red", Verdict.POSITIVE, request_key="key")).image_id == "red"


META = CollectionMeta("model", 4)


async def made(folder: Path) -> None:
    store = EmbeddedStore.open(folder, META)
    record = ImageRecord("a", "0" * 64, 8, 8, "PNG", datetime.now(UTC), {})
    await store.upsert([(record, np.array([1, 0, 0, 0], dtype=np.float32))])
    await store.close()


@pytest.mark.parametrize("torn", TORN)
@pytest.mark.parametrize("names", [["collection.json"], ["collection.json", "collection.copy.json"]])
async def test_a_collection_opens_although_what_it_was_made_with_is_torn(
    tmp_path: Path, torn: bytes, names: list[str]
) -> None:
    folder = tmp_path / "photos"
    await made(folder)
    for name in names:
        (folder / name).write_bytes(torn)
    if len(names) == 1:
        found = inspect_collection(folder)
        assert found is not None
        assert (found.meta, found.images) == (META, 1)
    store = EmbeddedStore.open(folder, META)
    assert (await store.info()).images == 1
    await store.close()
    assert orjson.loads((folder / "collection.json").read_bytes()) == asdict(META)
    assert orjson.loads((folder / "collection.copy.json").read_bytes()) == asdict(META)


async def test_a_collection_of_another_dimension_is_not_adopted(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    await made(folder)
    for name in ("collection.json", "collection.copy.json"):
        (folder / name).write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="MODEL_NAME"):
        EmbeddedStore.open(folder, CollectionMeta("other", 8))
