"""What writing leaves behind: vectors, bytes and cached results that agree, whatever fails or is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from image_similarity.domain.errors import EncodingFailed, ImageNotFound, StoreUnavailable, UnsupportedFormat
from image_similarity.storage.images import ImageStorage
from image_similarity.vectors.qdrant_edge.store import EmbeddedStore
from tests.support.encoders import WAIT
from tests.support.engines import BLUE, ORANGE, RED, TOP, EngineUnderTest, digest, found, running_engine


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineUnderTest]:
    async with running_engine(tmp_path) as rig:
        yield rig


async def test_the_same_id_replaces_and_drops_the_bytes_that_are_left_unused(rig: EngineUnderTest) -> None:
    await rig.engine.index_image(RED, image_id="a", metadata={"v": 1})
    result = await rig.engine.index_image(BLUE, image_id="a", metadata={"v": 2})

    assert (result.created, result.changed) == (False, True)
    assert (await rig.engine.get_image("a")).metadata == {"v": 2}
    assert rig.stored() == {digest(BLUE)}
    assert await found(rig) == ["a"]


async def test_one_content_of_two_ids_is_stored_once_and_goes_with_the_last(rig: EngineUnderTest) -> None:
    await rig.engine.index_image(RED, image_id="a")
    await rig.engine.index_image(RED, image_id="b")
    assert rig.stored() == {digest(RED)}

    await rig.engine.delete_image("a")
    assert rig.stored() == {digest(RED)}
    await rig.engine.delete_image("b")
    assert rig.stored() == set()
    assert await found(rig) == []
    with pytest.raises(ImageNotFound):
        await rig.engine.delete_image("b")


async def test_indexing_the_same_again_writes_nothing(rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.engine.index_image(RED, image_id="a", metadata={"x": [1, {"y": 2.0}], "b": True})
    before = await rig.engine.get_image("a")

    async def refuse(*_: object) -> None:
        raise AssertionError("something was written")

    monkeypatch.setattr(rig.vectors, "upsert", refuse)
    monkeypatch.setattr(rig.storage, "save", refuse)
    result = await rig.engine.index_image(RED, image_id="a", metadata={"b": True, "x": [1, {"y": 2.0}]})

    assert (result.created, result.changed) == (False, False)
    assert await rig.engine.get_image("a") == before


@pytest.mark.parametrize(("old", "new"), [(1, True), (0, False), (1, 1.0), ("1", 1), ([], None)])
async def test_metadata_that_only_python_holds_for_equal_is_written(
    rig: EngineUnderTest, old: object, new: object
) -> None:
    await rig.engine.index_image(RED, image_id="a", metadata={"v": old})
    result = await rig.engine.index_image(RED, image_id="a", metadata={"v": new})

    assert result.changed
    assert repr((await rig.engine.get_image("a")).metadata) == repr({"v": new})


async def test_bytes_that_were_lost_come_back_with_the_next_indexing(rig: EngineUnderTest) -> None:
    await rig.engine.index_image(RED, image_id="a")
    await rig.storage.delete(digest(RED))
    with pytest.raises(ImageNotFound, match="index the image again"):
        await rig.engine.thumbnail(await rig.engine.get_image("a"))

    assert (await rig.engine.index_image(RED, image_id="a")).changed
    assert rig.stored() == {digest(RED)}


class Broken(Exception):
    """A failure that nobody planned for."""


@pytest.mark.parametrize("error", [StoreUnavailable("down"), Broken("bug")])
@pytest.mark.parametrize(("part", "method"), [(EmbeddedStore, "upsert"), (ImageStorage, "save")])
async def test_a_failed_write_leaves_nothing_behind(
    rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch, part: type, method: str, error: Exception
) -> None:
    original = getattr(part, method)

    async def fail(self: Any, *given: Any) -> None:
        if part is ImageStorage:
            await original(self, *given)
        raise error

    await rig.engine.index_image(BLUE, image_id="before")
    with monkeypatch.context() as patch:
        patch.setattr(part, method, fail)
        with pytest.raises(type(error)):
            await rig.engine.index_image(RED, image_id="a")
        with pytest.raises(type(error)):
            await rig.engine.index_image(BLUE, image_id="b")

    assert rig.stored() == {digest(BLUE)}
    assert (await rig.engine.stats()).collection.images == 1
    assert (await rig.engine.index_image(RED, image_id="a")).created


async def test_nothing_of_an_image_that_cannot_be_encoded_is_kept(rig: EngineUnderTest) -> None:
    rig.encoder.nan_when = lambda _: True
    with pytest.raises(EncodingFailed):
        await rig.engine.index_image(RED, image_id="a")
    with pytest.raises(EncodingFailed):
        await rig.engine.search_by_image(RED, TOP)
    rig.encoder.nan_when = lambda _: False

    assert rig.stored() == set()
    assert await found(rig) == []
    await rig.engine.index_image(RED, image_id="a")
    assert await found(rig) == ["a"]


async def test_what_is_no_image_is_refused_and_nothing_is_kept(rig: EngineUnderTest) -> None:
    with pytest.raises(UnsupportedFormat):
        await rig.engine.index_image(b"not an image", image_id="a")

    assert rig.stored() == set()
    assert (await rig.engine.stats()).queue_depth == 0


class Pause:
    """Stands in for a method of a part: stops before it does its work, until the test goes on."""

    def __init__(self, original: Callable[..., Any]) -> None:
        self._original = original
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, *given: Any) -> Any:
        self.reached.set()
        await self.go.wait()
        return await self._original(*given)


@pytest.mark.parametrize("cancellations", [1, 2])
async def test_a_write_that_has_begun_is_finished_though_its_caller_has_gone(
    rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch, cancellations: int
) -> None:
    await rig.engine.index_image(BLUE, image_id="a")
    assert await found(rig, RED) == ["a"]
    pause = Pause(rig.vectors.upsert)
    monkeypatch.setattr(EmbeddedStore, "upsert", lambda _, points: pause(points))

    writing = asyncio.create_task(rig.engine.index_image(RED, image_id="a", metadata={"v": 2}))
    await pause.reached.wait()
    for _ in range(cancellations):
        writing.cancel()
        await asyncio.sleep(0)
    assert not writing.done()
    pause.go.set()
    with pytest.raises(asyncio.CancelledError):
        await writing

    assert rig.stored() == {digest(RED)}
    answer = await rig.engine.search_by_image(RED, TOP)
    assert answer.matches[0].metadata == {"v": 2}
    assert answer.matches[0].score == pytest.approx(1, abs=1e-5)


async def test_a_deletion_that_has_begun_is_finished_though_its_caller_has_gone(
    rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.engine.index_image(BLUE, image_id="a")
    assert await found(rig, RED) == ["a"]
    pause = Pause(rig.vectors.delete)
    monkeypatch.setattr(EmbeddedStore, "delete", lambda _, image_id: pause(image_id))

    deleting = asyncio.create_task(rig.engine.delete_image("a"))
    await pause.reached.wait()
    deleting.cancel()
    pause.go.set()
    with pytest.raises(asyncio.CancelledError):
        await deleting

    assert rig.stored() == set()
    assert await found(rig, RED) == []


async def test_bytes_are_not_dropped_while_another_id_is_about_to_use_them(
    rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.engine.index_image(RED, image_id="last")
    pause = Pause(rig.vectors.upsert)
    monkeypatch.setattr(EmbeddedStore, "upsert", lambda _, points: pause(points))

    writing = asyncio.create_task(rig.engine.index_image(RED, image_id="next"))
    await pause.reached.wait()
    deleting = asyncio.create_task(rig.engine.delete_image("last"))
    # As far as the deletion comes: the store serves in turn, so it is behind none of these for long.
    for _ in range(20):
        await rig.vectors.info()
        await rig.storage.has(digest(RED))
    pause.go.set()
    await asyncio.gather(writing, deleting)

    assert rig.stored() == {digest(RED)}


async def test_who_is_cancelled_before_the_write_leaves_everything_as_it_was(rig: EngineUnderTest) -> None:
    await rig.engine.index_image(BLUE, image_id="a")
    rig.encoder.hold()
    writing = asyncio.create_task(rig.engine.index_image(RED, image_id="a"))
    assert await asyncio.to_thread(rig.encoder.busy.wait, WAIT)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    rig.encoder.release()

    assert rig.stored() == {digest(BLUE)}
    assert (await rig.engine.stats()).queue_depth == 0


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_of_writes_leaves_a_consistent_state(
    rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Few ids and few contents, so that every kind of collision comes up, some callers cancelled on the way."""
    random = Random(seed)
    for part, names in ((EmbeddedStore, ("upsert", "delete", "count_content")), (ImageStorage, ("save", "delete"))):
        for name in names:
            monkeypatch.setattr(part, name, _hesitant(getattr(part, name), random))
    contents = {digest(data): data for data in (RED, ORANGE, BLUE)}

    async def use() -> None:
        image_id, data = random.choice("abc"), random.choice(list(contents.values()))
        for _ in range(random.randrange(20)):
            await asyncio.sleep(0)
        match random.randrange(4):
            case 0:
                await rig.engine.delete_image(image_id)
            case 1:
                await rig.engine.search_by_image(data, TOP)
            case _:
                await rig.engine.index_image(data, image_id=image_id, metadata={"of": digest(data)})

    callers = [asyncio.create_task(use()) for _ in range(60)]
    for caller in random.sample(callers, 10):
        await asyncio.sleep(0)
        caller.cancel()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    monkeypatch.undo()

    assert {type(outcome) for outcome in outcomes} <= {type(None), ImageNotFound, asyncio.CancelledError}
    records = (await rig.engine.list_images(limit=100)).records
    assert rig.stored() == {record.sha256 for record in records}
    assert all(record.metadata == {"of": record.sha256} for record in records)
    assert len({record.indexed_at for record in records}) == len(records)
    for key, data in contents.items():
        answer = await rig.engine.search_by_image(data, TOP)
        assert {match.image_id for match in answer.matches} == {record.image_id for record in records}
        itself = {record.image_id for record in records if record.sha256 == key}
        assert {match.image_id for match in answer.matches if match.score > 0.9999} == itself


def _hesitant(original: Callable[..., Any], random: Random) -> Callable[..., Any]:
    """Return a method that lets others go first, before it works and after."""

    async def method(*given: Any) -> Any:
        for _ in range(random.randrange(8)):
            await asyncio.sleep(0)
        answer = await original(*given)
        for _ in range(random.randrange(8)):
            await asyncio.sleep(0)
        return answer

    return method
