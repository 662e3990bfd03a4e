"""What is acknowledged has been brought to disk: every file that a call leaves, and its name in its folder."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from obstore.exceptions import AlreadyExistsError
from uuid_utils import uuid7

from image_similarity.concurrency.grouped import Grouped
from image_similarity.domain.errors import StoreUnavailable
from image_similarity.engine.feedback.events import Verdict
from image_similarity.filesystem.synced import SyncedStore
from image_similarity.jobs.base import Item
from image_similarity.jobs.ledger import JobLedger
from image_similarity.storage.images import ImageStorage
from image_similarity.storage.objects import Objects
from image_similarity.vectors.qdrant_edge.log import EdgeLog
from tests.support.engines import BLUE, RED, EngineUnderTest, running_engine


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Return how often what was brought to disk, by inode."""
    inodes: Counter[int] = Counter()
    for name in ("fsync", "fdatasync"):
        really = getattr(os, name)

        def sync(handle: int, really: Callable[[int], None] = really) -> None:
            inodes[os.fstat(handle).st_ino] += 1
            really(handle)

        monkeypatch.setattr(os, name, sync)
    return inodes


def inode(path: Path) -> int:
    return path.stat().st_ino


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def lost_by_a_power_cut(folder: Path, before: set[Path], synced: Counter[int]) -> list[Path]:
    """Return what is new in a folder and not on the disk, or not under its name; thumbnails are made anew."""
    new = [path for path in folder.rglob("*") if path not in before and "thumbnails" not in path.parts]
    new = [path for path in new if "photos" not in path.relative_to(folder).parts[:1]]
    return [
        path for path in new if not {path.stat().st_ino, path.parent.stat().st_ino} <= synced.keys() and path.is_file()
    ]


async def index(rig: EngineUnderTest) -> None:
    await rig.engine.index_image(BLUE, image_id="blue")


async def delete(rig: EngineUnderTest) -> None:
    await rig.engine.delete_image("red", undo_seconds=60)


async def give_feedback(rig: EngineUnderTest) -> None:
    await rig.engine.feedback.add("red", Verdict.POSITIVE, request_key="key")


async def hand_in_a_job(rig: EngineUnderTest) -> None:
    ledger, job_id = JobLedger(Objects.open(None, default=rig.folder.parent)), str(uuid7())
    await ledger.write(ledger.pending_key(job_id, 0), BLUE)
    await ledger.create(job_id, [[Item("blue", ledger.pending_key(job_id, 0), None)]])


@pytest.mark.parametrize("call", [index, delete, give_feedback, hand_in_a_job])
async def test_what_is_acknowledged_survives_a_power_cut(
    tmp_path: Path, synced: Counter[int], call: Callable[[EngineUnderTest], Awaitable[None]]
) -> None:
    async with running_engine(tmp_path) as rig:
        await rig.engine.index_image(RED, image_id="red")
        before = everything(tmp_path)
        synced.clear()
        await call(rig)
        assert everything(tmp_path) - before
        assert lost_by_a_power_cut(tmp_path, before, synced) == []


async def test_an_image_takes_one_sync_its_thumbnail_only_without_an_original(
    tmp_path: Path, synced: Counter[int]
) -> None:
    for kept in (True, False):
        folder = tmp_path / str(kept)
        storage = ImageStorage.open(None, default=folder, store_originals=kept)
        await storage.save("0" * 64, RED, b"thumbnail")
        files = [path for path in everything(folder) if path.is_file()]
        on_disk = [path for path in files if inode(path) in synced]
        assert [path.suffix for path in on_disk] == ["" if kept else ".webp"]
        assert len(files) == 1 + kept
        assert lost_by_a_power_cut(folder, set(), synced) == []
        synced.clear()


@pytest.mark.parametrize("call", [index, delete])
async def test_the_log_of_the_store_is_on_the_disk_before_a_write_returns(
    tmp_path: Path, synced: Counter[int], call: Callable[[EngineUnderTest], Awaitable[None]]
) -> None:
    async with running_engine(tmp_path) as rig:
        await rig.engine.index_image(RED, image_id="red")
        synced.clear()
        await call(rig)
        assert inode(tmp_path / "photos" / "shard" / "wal" / "open-1") in synced


async def test_a_log_that_cannot_be_brought_to_disk_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_engine(tmp_path) as rig:
        shard = tmp_path / "photos" / "shard" / "wal"
        really = os.fdatasync

        def fdatasync(handle: int) -> None:
            if os.fstat(handle).st_ino in {path.stat().st_ino for path in shard.iterdir()}:
                raise OSError(5, "Input/output error")
            really(handle)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fdatasync)
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


async def test_one_that_cannot_be_written_is_the_only_one_of_its_group(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "folder" / "taken").mkdir(parents=True)
    store = SyncedStore(tmp_path)
    keys = ["taken", "folder/taken", "x" * 300, *(f"fine/{number}" for number in range(20))]
    outcomes = await asyncio.gather(*(store.put_async(key, b"data") for key in keys), return_exceptions=True)
    assert [isinstance(outcome, OSError) for outcome in outcomes] == [True] * 3 + [False] * 20
    written = [path for path in everything(tmp_path) if path.is_file()]
    assert {path.relative_to(tmp_path).as_posix() for path in written} == set(keys[3:])


async def test_a_folder_that_cannot_be_synced_fails_what_was_written_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SyncedStore(tmp_path)
    await store.put_async("bad/first", b"data")
    await store.put_async("good/first", b"data")
    bad, really = inode(tmp_path / "bad"), os.fsync

    def fsync(handle: int) -> None:
        if os.fstat(handle).st_ino == bad:
            raise OSError(5, "Input/output error")
        really(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    outcomes = await asyncio.gather(
        *(store.put_async(f"{folder}/second", b"data") for folder in ("bad", "good")), return_exceptions=True
    )
    assert [isinstance(outcome, OSError) for outcome in outcomes] == [True, False]


async def test_a_folder_of_another_process_is_not_taken_for_one_on_the_disk(
    tmp_path: Path, synced: Counter[int]
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    store = SyncedStore(tmp_path)
    await store.put_async("a/b/one", b"data")
    assert {inode(tmp_path), inode(tmp_path / "a"), inode(tmp_path / "a" / "b")} <= synced.keys()
    synced.clear()
    await store.put_async("a/b/two", b"data")
    assert set(synced) == {inode(tmp_path / "a" / "b"), inode(tmp_path / "a" / "b" / "two")}


class Gate:
    """Work that waits until it is let through."""

    def __init__(self) -> None:
        self.begun, self.open = threading.Event(), threading.Event()
        self.groups: list[Sequence[int]] = []

    def __call__(self, group: Sequence[int]) -> list[Exception | None]:
        self.groups.append(group)
        self.begun.set()
        assert self.open.wait(60)
        return [ValueError(str(item)) if item < 0 else None for item in group]


async def test_those_who_come_while_a_group_is_worked_on_are_the_next() -> None:
    gate = Gate()
    grouped = Grouped(gate)
    first = asyncio.create_task(grouped.do(0))
    assert await asyncio.to_thread(gate.begun.wait, 60)
    others = [asyncio.create_task(grouped.do(item)) for item in (1, -2, 3)]
    gives_up = asyncio.create_task(grouped.do(4))
    await asyncio.sleep(0)
    gives_up.cancel()
    await asyncio.wait([gives_up])
    gate.open.set()
    outcomes = await asyncio.gather(first, *others, gives_up, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes[:4]] == [type(None), type(None), ValueError, type(None)]
    assert gate.groups == [[0], [1, -2, 3]]
    await grouped.do(5)
    assert gate.groups[2:] == [[5]]


async def test_files_that_are_written_at_once_share_the_syncs_of_their_folders(
    tmp_path: Path, synced: Counter[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SyncedStore(tmp_path)
    every, counted = asyncio.Event(), os.fsync
    loop = asyncio.get_running_loop()

    def fsync(handle: int) -> None:
        # Until all have come, so that there are two groups at most.
        asyncio.run_coroutine_threadsafe(every.wait(), loop).result(60)
        counted(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    writes = [asyncio.create_task(store.put_async(f"a/b/{number}", b"data")) for number in range(32)]
    await asyncio.sleep(0)
    every.set()
    await asyncio.gather(*writes)
    files = [synced[inode(tmp_path / "a" / "b" / str(number))] for number in range(32)]
    assert files == [1] * 32
    # Two groups bring the folder to disk, and one of them the names of it and of the one above it.
    assert synced.total() - 32 <= 2 + 2


def log_folder(folder: Path, *names: str) -> EdgeLog:
    for name in names:
        (folder / name).write_bytes(b"entries")
    return EdgeLog(folder)


async def test_only_the_segment_that_is_written_to_is_brought_to_disk(tmp_path: Path, synced: Counter[int]) -> None:
    log = log_folder(tmp_path, "open-9", "open-10", "first-index")
    await log.sync()
    synced.clear()
    await log.sync()
    assert synced == {inode(tmp_path / "open-9"): 1}

    (tmp_path / "open-9").rename(tmp_path / "closed-0")
    (tmp_path / "open-11").write_bytes(b"")
    synced.clear()
    await log.sync()
    assert synced.keys() == {inode(tmp_path / name) for name in ("closed-0", "open-10", "open-11")}
    synced.clear()
    await log.sync()
    assert synced == {inode(tmp_path / "open-10"): 1}


async def test_a_segment_that_is_closed_meanwhile_is_found_under_its_new_name(
    tmp_path: Path, synced: Counter[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_folder(tmp_path, "open-1", "open-2")
    await log.sync()
    synced.clear()
    really = os.open

    def close_first(path: Path, flags: int) -> int:
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", really)
            if (tmp_path / "open-1").exists():
                (tmp_path / "open-1").rename(tmp_path / "closed-0")
            return really(path, flags)

    monkeypatch.setattr(os, "open", close_first)
    await log.sync()
    assert {inode(tmp_path / "closed-0"), inode(tmp_path / "open-2")} <= synced.keys()
