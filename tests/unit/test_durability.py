"""What is acknowledged has been brought to disk: every file that a call leaves, and its name in its folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from obstore.exceptions import AlreadyExistsError
from uuid_utils import uuid7

from image_similarity.domain import StoreUnavailable
from image_similarity.feedback.events import Verdict
from image_similarity.jobs.base import Item
from image_similarity.jobs.ledger import JobLedger
from image_similarity.objects import Objects
from image_similarity.synced import SharedSync, SyncedStore
from tests.support.engines import BLUE, RED, Rig, running_engine


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Return the inodes of all that was brought to disk."""
    inodes: set[int] = set()
    really = os.fsync

    def fsync(handle: int) -> None:
        inodes.add(os.fstat(handle).st_ino)
        really(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    return inodes


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def lost_by_a_power_cut(folder: Path, before: set[Path], synced: set[int]) -> list[Path]:
    """Return what is new in a folder and not on the disk, or not under its name."""
    new = [path for path in folder.rglob("*") if path not in before and "collections" not in path.parts]
    new = [path for path in new if "photos" not in path.relative_to(folder).parts[:1]]
    return [path for path in new if not {path.stat().st_ino, path.parent.stat().st_ino} <= synced and path.is_file()]


async def index(rig: Rig) -> None:
    await rig.engine.index_image(BLUE, image_id="blue")


async def delete(rig: Rig) -> None:
    await rig.engine.delete_image("red", undo_seconds=60)


async def give_feedback(rig: Rig) -> None:
    await rig.engine.feedback.add("red", Verdict.POSITIVE, request_key="key")


async def hand_in_a_job(rig: Rig) -> None:
    ledger, job_id = JobLedger(Objects.open(None, default=rig.folder.parent)), str(uuid7())
    await ledger.write(ledger.pending_key(job_id, 0), BLUE)
    await ledger.create(job_id, [[Item("blue", ledger.pending_key(job_id, 0), None)]])


@pytest.mark.parametrize("call", [index, delete, give_feedback, hand_in_a_job])
async def test_what_is_acknowledged_survives_a_power_cut(
    tmp_path: Path, synced: set[int], call: Callable[[Rig], Awaitable[None]]
) -> None:
    async with running_engine(tmp_path) as rig:
        await rig.engine.index_image(RED, image_id="red")
        before = everything(tmp_path)
        synced.clear()
        await call(rig)
        assert everything(tmp_path) - before
        assert lost_by_a_power_cut(tmp_path, before, synced) == []


@pytest.mark.parametrize("call", [index, delete])
async def test_the_log_of_the_store_is_on_the_disk_before_a_write_returns(
    tmp_path: Path, synced: set[int], call: Callable[[Rig], Awaitable[None]]
) -> None:
    async with running_engine(tmp_path) as rig:
        await rig.engine.index_image(RED, image_id="red")
        synced.clear()
        await call(rig)
        logs = {path.stat().st_ino for path in (tmp_path / "photos" / "shard" / "wal").iterdir()}
        assert logs <= synced


async def test_a_log_that_cannot_be_brought_to_disk_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_engine(tmp_path) as rig:
        shard = tmp_path / "photos" / "shard" / "wal"
        really = os.fsync

        def fsync(handle: int) -> None:
            if os.fstat(handle).st_ino in {path.stat().st_ino for path in shard.iterdir()}:
                raise OSError(5, "Input/output error")
            really(handle)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            with pytest.raises(StoreUnavailable, match="Input/output error"):
                await index(rig)
        await index(rig)


async def test_of_several_creators_one_succeeds_and_nothing_unfinished_stays(tmp_path: Path) -> None:
    store = SyncedStore(tmp_path)
    await store.put_async("a/b", b"one", mode="create")
    with pytest.raises(AlreadyExistsError):
        await store.put_async("a/b", b"two", mode="create")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    await store.put_async("a/b", b"three")
    assert (tmp_path / "a" / "b").read_bytes() == b"three"


class CountingLock:
    """A lock that tells how many have asked for it."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self.asked.release()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_those_who_wait_for_one_sync_share_the_next() -> None:
    began, go_on = threading.Event(), threading.Event()
    calls: list[int] = []

    def sync() -> None:
        calls.append(1)
        began.set()
        go_on.wait(60)

    shared = SharedSync(sync)
    lock = CountingLock()
    shared._lock = lock  # type: ignore[assignment]
    first = threading.Thread(target=shared)
    first.start()
    assert began.wait(60)
    # Their data may have come after the sync that goes on, so one more is due, and one is enough for all.
    others = [threading.Thread(target=shared) for _ in range(8)]
    for each in others:
        each.start()
    assert all(lock.asked.acquire(timeout=60) for _ in range(9))
    go_on.set()
    for each in [first, *others]:
        each.join(60)
    assert len(calls) == 2
