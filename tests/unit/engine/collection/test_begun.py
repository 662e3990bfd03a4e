"""Bytes of writes that were killed between the storage and the store are dropped, and no others."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.engine.collection import begun
from image_similarity.engine.collection.begun import Begun
from image_similarity.storage.objects import Objects
from tests.support.engines import BLUE, RED, digest, running_engine


def notes(data_dir: Path) -> list[Path]:
    return [path for path in (data_dir / "trash" / "photos" / "begun").rglob("*") if path.is_file()]


async def test_bytes_of_a_killed_write_are_dropped_and_those_with_a_record_stay(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as rig:
        await rig.engine.index_image(RED, image_id="red")
        await rig.storage.save(digest(BLUE), BLUE, b"thumbnail")
        left = f"{digest(RED)}\n{digest(BLUE)}\n{digest(BLUE)[:30]}"
        await Objects.open(None, default=tmp_path).write("trash/photos/begun/dead", left.encode())
    async with running_engine(tmp_path) as rig:
        assert rig.stored() == {digest(RED), digest(BLUE)}
        assert await rig.trash.sweep() == 1
        assert rig.stored() == {digest(RED)}
        assert await rig.engine.original(await rig.engine.get_image("red")) == RED
    assert notes(tmp_path) == []


async def test_a_write_is_noted_before_its_bytes_and_no_longer_than_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_engine(tmp_path) as rig:
        seen: list[str] = []
        save = rig.storage.save

        async def saving(sha256: str, *data: Any) -> None:
            seen.extend(path.read_text() for path in notes(tmp_path))
            # One that is under way in this process is nobody's leftover.
            assert await rig.trash.begun.left() == {}
            await save(sha256, *data)

        monkeypatch.setattr(rig.storage, "save", saving)
        await rig.engine.index_image(RED, image_id="red")
        assert seen == [digest(RED)]
        assert notes(tmp_path) == []


async def test_writes_that_begin_at_once_share_a_note(tmp_path: Path) -> None:
    all_begun = Begun(Objects.open(None, default=tmp_path), collection="photos", alone=True)
    contents = [f"{number:064x}" for number in range(20)]
    go_on, inside = asyncio.Event(), asyncio.Semaphore(0)

    async def write(sha256: str) -> None:
        async with all_begun.writing(sha256):
            inside.release()
            await go_on.wait()

    writes = [asyncio.create_task(write(sha256)) for sha256 in contents]
    for _ in contents:
        await inside.acquire()
    [note] = notes(tmp_path)
    assert note.read_text().splitlines() == contents
    go_on.set()
    await asyncio.gather(*writes)
    assert notes(tmp_path) == []


async def test_among_several_processes_only_old_notes_are_of_dead_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = Objects.open(None, default=tmp_path)
    one, other = (Begun(objects, collection="photos", alone=False) for _ in range(2))
    async with one.writing("0" * 64):
        assert await other.left() == {}
        monkeypatch.setattr(begun, "KEEP_SECONDS", -60.0)
        assert list((await other.left()).values()) == [["0" * 64]]
        assert await one.left() == {}


@pytest.mark.parametrize("fails", [False, True])
async def test_no_note_is_left_if_all_callers_are_cancelled_before_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    objects = Objects.open(None, default=tmp_path)
    all_begun = Begun(objects, collection="photos", alone=True)
    writing, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    write, delete = objects.write, objects.delete

    async def write_later(*args: Any, **options: Any) -> None:
        writing.set()
        await go_on.wait()
        if fails:
            raise StoreUnavailable("away")
        await write(*args, **options)

    async def delete_and_tell(*keys: str) -> None:
        await delete(*keys)
        ended.set()

    monkeypatch.setattr(objects, "write", write_later)
    monkeypatch.setattr(objects, "delete", delete_and_tell)

    async def put(sha256: str) -> None:
        async with all_begun.writing(sha256):
            raise AssertionError("it was cancelled before")

    callers = [asyncio.create_task(put(f"{number:064x}")) for number in range(2)]
    await writing.wait()
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    go_on.set()
    await asyncio.wait_for(ended.wait(), 30)
    assert notes(tmp_path) == []
    # Nor does this process go on taking it for one of its own.
    assert all_begun._own == set()
