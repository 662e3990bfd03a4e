"""Deleting with a time to undo it: what is gone at once, what comes back, and what is dropped in the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from image_similarity.domain.errors import ImageExists, ImageNotFound, StoreUnavailable
from image_similarity.engine.collection import trash
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.storage.images import ImageStorage
from image_similarity.vectors.qdrant_edge.store import EmbeddedStore
from tests.support.engines import BLUE, ORANGE, RED, TOP, EngineUnderTest, digest, found, running_engine

UNDO = 30.0


class Clock:
    """The time as the trash has it."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._time = trash.time

    def __call__(self) -> float:
        return self._time() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(trash, "time", clock)
    return clock


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineUnderTest]:
    async with running_engine(tmp_path) as rig:
        yield rig


def entries(rig: EngineUnderTest) -> list[Path]:
    return [path for path in (rig.folder.parent / "trash").rglob("*") if path.is_file()]


async def test_a_deleted_image_is_gone_everywhere_and_comes_back_as_it_was(rig: EngineUnderTest) -> None:
    await rig.engine.index_image(BLUE, image_id="other")
    await rig.engine.index_image(RED, image_id="a", metadata={"v": [1, 2.0, None], "big": 2**63, "deep": {"x": True}})
    before = await rig.engine.get_image("a")
    vector = await rig.vectors.get_vector("a")
    searched = await rig.engine.search_by_image(ORANGE, TOP)

    until = await rig.engine.delete_image("a", undo_seconds=UNDO)
    assert until is not None
    assert until.timestamp() == pytest.approx(trash.time() + UNDO, abs=5)
    assert await found(rig, ORANGE) == ["other"]
    assert [one.image_id for one in (await rig.engine.list_images(limit=9)).records] == ["other"]
    for call in (rig.engine.get_image("a"), rig.engine.search_by_id("a", TOP), rig.engine.delete_image("a")):
        with pytest.raises(ImageNotFound):
            await call

    assert await rig.engine.restore_image("a") == before
    assert repr((await rig.engine.get_image("a")).metadata) == repr(before.metadata)
    assert [one.image_id for one in (await rig.engine.list_images(limit=9)).records] == ["a", "other"]
    assert (await rig.engine.search_by_image(ORANGE, TOP)).matches == searched.matches
    restored = await rig.vectors.get_vector("a")
    assert vector is not None
    assert restored is not None
    np.testing.assert_allclose(restored, vector, atol=1e-6)
    assert await rig.engine.original(before) == RED
    assert entries(rig) == []


async def test_when_the_time_is_over_the_bytes_go_and_nothing_can_be_restored(
    rig: EngineUnderTest, clock: Clock
) -> None:
    await rig.engine.index_image(RED, image_id="a")
    await rig.engine.delete_image("a", undo_seconds=UNDO)
    clock.ahead = UNDO - 1
    assert await rig.trash.sweep() == 0
    assert rig.stored() == {digest(RED)}

    clock.ahead = UNDO + 1
    with pytest.raises(ImageNotFound, match="within the time"):
        await rig.engine.restore_image("a")
    assert await rig.trash.sweep() == 1
    assert rig.stored() == set()
    assert entries(rig) == []
    assert await rig.trash.sweep() == 0


async def test_without_a_time_to_undo_the_bytes_go_at_once(rig: EngineUnderTest) -> None:
    await rig.engine.index_image(RED, image_id="a")

    assert await rig.engine.delete_image("a") is None
    assert (rig.stored(), entries(rig)) == (set(), [])
    with pytest.raises(ImageNotFound):
        await rig.engine.restore_image("a")


async def test_an_image_that_was_indexed_meanwhile_wins(rig: EngineUnderTest, clock: Clock) -> None:
    await rig.engine.index_image(RED, image_id="a", metadata={"v": 1})
    await rig.engine.delete_image("a", undo_seconds=UNDO)
    await rig.engine.index_image(BLUE, image_id="a", metadata={"v": 2})

    with pytest.raises(ImageExists, match='"a"'):
        await rig.engine.restore_image("a")
    assert (await rig.engine.get_image("a")).metadata == {"v": 2}

    clock.ahead = UNDO + 1
    assert await rig.trash.sweep() == 1
    assert rig.stored() == {digest(BLUE)}


async def test_only_the_last_deletion_can_be_undone(rig: EngineUnderTest) -> None:
    for version, data in enumerate((RED, BLUE)):
        await rig.engine.index_image(data, image_id="a", metadata={"v": version})
        await rig.engine.delete_image("a", undo_seconds=UNDO)
    assert (await rig.engine.restore_image("a")).metadata == {"v": 1}

    await rig.engine.delete_image("a")
    with pytest.raises(ImageNotFound):
        await rig.engine.restore_image("a")


async def test_content_of_another_id_stays_and_serves_a_restored_image(rig: EngineUnderTest, clock: Clock) -> None:
    for name in ("a", "b"):
        await rig.engine.index_image(RED, image_id=name)
    await rig.engine.delete_image("a", undo_seconds=UNDO)
    await rig.engine.delete_image("b")
    assert rig.stored() == {digest(RED)}
    await rig.engine.restore_image("a")
    await rig.engine.index_image(RED, image_id="c")
    await rig.engine.delete_image("a", undo_seconds=UNDO)

    clock.ahead = UNDO + 1
    assert await rig.trash.sweep() == 0
    assert rig.stored() == {digest(RED)}
    assert entries(rig) == []


async def test_a_longer_time_of_the_same_content_outlasts_a_shorter_one(rig: EngineUnderTest, clock: Clock) -> None:
    for name, seconds in (("long", 3 * UNDO), ("short", UNDO)):
        await rig.engine.index_image(RED, image_id=name)
        await rig.engine.delete_image(name, undo_seconds=seconds)

    clock.ahead = UNDO + 1
    assert await rig.trash.sweep() == 0
    assert sorted(path.parent.parent.name for path in entries(rig)) == ["bytes", "images"]
    assert (await rig.engine.restore_image("long")).sha256 == digest(RED)
    assert rig.stored() == {digest(RED)}


async def test_a_replaced_image_leaves_the_bytes_that_a_deleted_one_may_need(rig: EngineUnderTest) -> None:
    for name in ("a", "b"):
        await rig.engine.index_image(RED, image_id=name)
    await rig.engine.delete_image("a", undo_seconds=UNDO)
    await rig.engine.index_image(BLUE, image_id="b")

    assert rig.stored() == {digest(RED), digest(BLUE)}
    assert (await rig.engine.restore_image("a")).sha256 == digest(RED)


@pytest.mark.parametrize("restores", [True, False])
async def test_deletions_outlive_the_process(tmp_path: Path, clock: Clock, restores: bool) -> None:
    async with running_engine(tmp_path) as rig:
        await rig.engine.index_image(RED, image_id="a", metadata={"v": 1})
        before = await rig.engine.get_image("a")
        await rig.engine.delete_image("a", undo_seconds=UNDO)
    async with running_engine(tmp_path) as rig:
        if restores:
            assert await rig.engine.restore_image("a") == before
            assert await found(rig) == ["a"]
        else:
            clock.ahead = UNDO + 1
            await swept_once(rig.engine)
            assert (rig.stored(), entries(rig)) == (set(), [])


async def swept_once(engine: SearchEngine) -> None:
    """Begin to keep tidy, as a server does at its start, and stop when the first round is over."""
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.5, stop.set)
    await engine.run_maintenance(stop)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("undo", [0, UNDO])
@pytest.mark.parametrize("step", ["before the vector", "after the vector"])
async def test_a_kill_in_the_middle_of_a_deletion_leaves_nothing_for_ever(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, step: str, undo: float
) -> None:
    original = EmbeddedStore.delete

    async def delete(store: EmbeddedStore, image_id: str) -> Any:
        if step == "after the vector":
            await original(store, image_id)
        raise Killed

    async with running_engine(tmp_path) as rig:
        await rig.engine.index_image(RED, image_id="a")
        with monkeypatch.context() as patch:
            patch.setattr(EmbeddedStore, "delete", delete)
            with pytest.raises(Killed):
                await rig.engine.delete_image("a", undo_seconds=undo)
    async with running_engine(tmp_path) as rig:
        clock.ahead = UNDO + 1
        await rig.trash.sweep()
        kept = {digest(RED)} if step == "before the vector" else set()
        assert (rig.stored(), entries(rig)) == (kept, [])
        assert await found(rig) == ["a"] * len(kept)


async def test_bytes_that_cannot_be_dropped_now_are_dropped_later(
    rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise StoreUnavailable("down")

    await rig.engine.index_image(RED, image_id="a")
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(ImageStorage, "delete", fail)
        await rig.engine.delete_image("a")
        await swept_once(rig.engine)
    assert {"unused_bytes_kept", "sweep_failed"} <= {line["event"] for line in logs}
    assert rig.stored() == {digest(RED)}

    assert await rig.trash.sweep() == 1
    assert (rig.stored(), entries(rig)) == (set(), [])


async def test_nothing_is_deleted_where_the_undoing_could_not_be_kept(
    rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.engine.index_image(RED, image_id="a")
    (rig.folder.parent / "trash").write_text("not a folder")

    with pytest.raises(StoreUnavailable):
        await rig.engine.delete_image("a", undo_seconds=UNDO)
    assert await found(rig) == ["a"]


async def test_an_image_whose_bytes_are_gone_is_not_restored(rig: EngineUnderTest) -> None:
    await rig.engine.index_image(RED, image_id="a")
    await rig.engine.delete_image("a", undo_seconds=UNDO)
    await rig.storage.delete(digest(RED))

    with pytest.raises(ImageNotFound, match="bytes are dropped"):
        await rig.engine.restore_image("a")
    assert await found(rig) == []


async def test_a_deletion_with_another_model_is_not_undone(rig: EngineUnderTest) -> None:
    await rig.engine.index_image(RED, image_id="a")
    await rig.engine.delete_image("a", undo_seconds=UNDO)
    rig.trash._model = "another"

    with pytest.raises(ImageNotFound):
        await rig.engine.restore_image("a")


async def test_what_is_no_entry_is_left_alone(rig: EngineUnderTest) -> None:
    stranger = rig.folder.parent / "trash" / "photos" / "bytes" / digest(RED) / "notes.txt"
    stranger.parent.mkdir(parents=True)
    stranger.write_text("mine")

    assert await rig.trash.sweep() == 0
    assert stranger.read_text() == "mine"
