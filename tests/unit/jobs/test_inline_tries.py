"""What the server's own queue does with chunks that fail: it bounds their tries, and the others go on."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from uuid_utils import uuid7

from image_similarity.domain.errors import InvalidRequest, StoreUnavailable
from image_similarity.jobs import inline
from image_similarity.jobs.base import Item, Job
from image_similarity.jobs.chunks import TRIES, ChunkProcessor
from image_similarity.jobs.inline import InlineQueue
from image_similarity.jobs.ledger import JobLedger
from image_similarity.jobs.service import JobService
from image_similarity.storage.objects import Objects
from tests.support.engines import BLUE, RED, EngineUnderTest, running_engine
from tests.support.servers import PATIENCE


class Refusing(JobLedger):
    """A ledger whose storage refuses some keys, as long as it is told to."""

    refused: frozenset[str] = frozenset()
    reads: int = 0

    async def read(self, item: Item) -> bytes | None:
        if item.key in self.refused:
            self.reads += 1
            raise StoreUnavailable("The image storage failed: the key is refused.")
        return await super().read(item)


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects.open(None, default=tmp_path)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineUnderTest]:
    async with running_engine(tmp_path) as rig:
        yield rig


@pytest.fixture
def ledger(objects: Objects) -> Refusing:
    return Refusing(objects)


@pytest.fixture
def queue(rig: EngineUnderTest, ledger: Refusing, monkeypatch: pytest.MonkeyPatch) -> InlineQueue:
    monkeypatch.setattr(inline, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(inline, "MAX_BACKOFF_SECONDS", 0.01)
    return InlineQueue(ChunkProcessor(rig.engine, ledger, at_once=8), ledger)


@pytest.fixture
async def jobs(rig: EngineUnderTest, queue: InlineQueue, ledger: Refusing) -> AsyncIterator[JobService]:
    jobs = JobService(ledger, queue, rig.engine.disk, chunk_size=4, max_images=100, retention=3600)
    await jobs.start()
    yield jobs
    await jobs.close()


async def until(condition: Callable[[], Awaitable[object]], failure: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while not await condition():  # noqa: ASYNC110 - what it looks at is in the storage, which calls nobody
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(failure) from None


async def uploaded(jobs: JobService, **images: bytes) -> Job:
    async with jobs.draft() as draft:
        for image_id, data in images.items():
            await draft.add(data, image_id=image_id)
        return await jobs.submit(draft)


async def referred(jobs: JobService, *keys: str) -> Job:
    async with jobs.draft() as draft:
        for key in keys:
            draft.refer(key)
        return await jobs.submit(draft)


async def ended(jobs: JobService, job: Job) -> Job:
    async def look() -> bool:
        return (await jobs.get(job.job_id)).state.ended

    await until(look, f"the job does not end: {await jobs.get(job.job_id)}")
    return await jobs.get(job.job_id)


@pytest.mark.parametrize("key", ["inbox/c#2", "inbox/c#2/d", "inbox/" + "a" * 256, "inbox/" + "a/" * 512 + "a"])
async def test_a_key_that_no_storage_takes_is_refused_with_the_request(jobs: JobService, key: str) -> None:
    with pytest.raises(InvalidRequest, match="storage key"):
        await referred(jobs, key)


async def test_a_key_that_cannot_be_read_costs_its_image_and_delays_no_job(
    jobs: JobService, ledger: Refusing, objects: Objects
) -> None:
    ledger.refused = frozenset(f"inbox/bad{n}" for n in range(4))
    await objects.write("inbox/good", RED)
    # As many chunks as there are workers, and twice that.
    bad = [await referred(jobs, f"inbox/bad{n}", "inbox/good") for n in range(1)]
    bad += [await referred(jobs, f"inbox/bad{n}") for n in range(1, 4)]
    good = await ended(jobs, await uploaded(jobs, blue=BLUE))
    assert good.counts.indexed == 1
    for n, job in enumerate(bad):
        end = await ended(jobs, job)
        assert [(failure.image_id, failure.code) for failure in end.failures] == [(f"bad{n}", "store_unavailable")]
        assert end.counts.processed == end.counts.total
    assert ledger.reads == 4 * TRIES

    async def forgotten() -> bool:
        return (await jobs.info()).problem is None

    await until(forgotten, "chunks that have ended are still said to fail")


async def test_a_key_of_an_earlier_version_that_no_storage_takes_fails_at_once(
    jobs: JobService, ledger: Refusing, queue: InlineQueue
) -> None:
    job_id = "019a9d5e-4c1b-7d3a-9f5e-2f6f0a1b2c3d"
    await ledger.create(job_id, [[Item("c", "inbox/c#2", None)]])
    await queue.put(job_id, [0])
    end = await ended(jobs, await jobs.get(job_id))
    assert [(failure.image_id, failure.code) for failure in end.failures] == [("c", "invalid_request")]


async def test_a_chunk_that_fails_otherwise_is_a_dead_letter_in_the_end(
    jobs: JobService, ledger: Refusing, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ledger, "begin", broken)
    end = await ended(jobs, await uploaded(jobs, red=RED))
    assert end.state == "failed"
    [entry] = await objects.entries("dead")
    assert entry.key == f"dead/{end.job_id}.000000"

    async def counted() -> bool:
        info = await jobs.info()
        return (info.dead_letters, info.waiting, info.problem) == (1, 0, None)

    await until(counted, f"the dead letter is not counted: {await jobs.info()}")


async def test_while_the_store_is_away_no_try_is_counted_and_nothing_is_lost(
    jobs: JobService, ledger: Refusing, rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise StoreUnavailable("The store is away.")

    monkeypatch.setattr(rig.vectors, "check", away)
    ledger.refused = frozenset({"inbox/red"})
    await ledger.write("inbox/red", RED)
    job = await referred(jobs, "inbox/red")

    async def tried() -> bool:
        return ledger.reads > 2 * TRIES

    await until(tried, "the chunk is not tried again")
    assert not (await jobs.get(job.job_id)).state.ended
    ledger.refused = frozenset()
    assert (await ended(jobs, job)).counts.indexed == 1


async def test_a_chunk_that_fails_again_and_again_is_told_of(
    jobs: JobService, ledger: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inline, "TRIES", 1_000_000)
    ledger.refused = frozenset({"inbox/bad"})
    job = await referred(jobs, "inbox/bad")

    async def told() -> bool:
        return (await jobs.info()).problem is not None

    await until(told, "the stuck chunk is not told of")
    assert job.job_id in str((await jobs.info()).problem)


async def test_a_chunk_that_hangs_is_told_of(
    jobs: JobService, ledger: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, read = asyncio.Event(), ledger.read

    async def hang(item: Item) -> bytes | None:
        await goes_on.wait()
        return await read(item)

    monkeypatch.setattr(ledger, "read", hang)
    job = await uploaded(jobs, red=RED)
    assert (await jobs.info()).problem is None
    monkeypatch.setattr(inline, "STUCK_SECONDS", 0.01)

    async def told() -> bool:
        return f"Chunk 0 of job {job.job_id} has been under way" in str((await jobs.info()).problem)

    await until(told, "nobody is told of it")
    goes_on.set()
    assert (await ended(jobs, job)).counts.indexed == 1

    async def forgotten() -> bool:
        return (await jobs.info()).problem is None

    await until(forgotten, "it is told of for ever")


async def test_a_job_tells_of_its_own_dead_letters(jobs: JobService, ledger: Refusing) -> None:
    job, other = [str(uuid7()) for _ in range(2)]
    for job_id in (job, other):
        await ledger.create(job_id, [[Item("a", "inbox/a", None)]])
    await ledger.dead_letters.add(job, 0, "It failed.")
    await ledger.dead_letters.add(other, 7, "It failed otherwise.")
    assert [(each.chunk, each.reason) for each in (await jobs.get(job)).dead_letters] == [(0, "It failed.")]
    assert [each.chunk for each in (await jobs.cancel(other)).dead_letters] == [7]


async def test_the_digest_an_upload_was_compared_with_is_not_computed_again(
    rig: EngineUnderTest, jobs: JobService, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[bytes] = []
    original = rig.engine._embedder.digest

    async def digest(data: bytes) -> str:
        hashed.append(data)
        return await original(data)

    monkeypatch.setattr(rig.engine._embedder, "digest", digest)
    job = await uploaded(jobs, red=RED, blue=BLUE)

    async def is_over() -> bool:
        return (await jobs.get(job.job_id)).state.ended

    await until(is_over, "the job does not end")
    assert (await rig.engine.get_image("red")).sha256 == hashlib.sha256(RED).hexdigest()
    assert (await rig.engine.get_image("blue")).sha256 == hashlib.sha256(BLUE).hexdigest()
    assert hashed == []
