"""Writes whose answers are lost, and attempts that land late, on a store that several replicas share."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from image_similarity.cache.local import LocalCache
from image_similarity.domain.errors import ImageNotFound, WriteOutcomeUnknown
from image_similarity.engine.collection import unsettled
from image_similarity.engine.collection.unsettled import Notes, Settler
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.storage.objects import Objects
from image_similarity.telemetry.metrics import Metrics
from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.qdrant_server.store import ServerConfig, ServerStore
from tests.support.encoders import ColourEncoder
from tests.support.engines import BLUE, RED, TOP, digest
from tests.support.faulty_link import Fault, FaultyLink, faulty_link
from tests.support.qdrant_process import QdrantProcess
from tests.support.replicas import engine_over

LOST, HELD = [Fault.LOSE_ANSWER], [Fault.HOLD]
EVERY = 10
"""More than the attempts that one call is given."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two replicas; what the first one asks of Qdrant goes over the link."""

    one: SearchEngine
    other: SearchEngine
    link: FaultyLink
    folder: Path

    def notes(self) -> list[str]:
        return sorted(path.suffix for path in (self.folder / "unsettled").rglob("*.*") if path.is_file())


@pytest.fixture
async def pair(qdrant: QdrantProcess, tmp_path: Path) -> AsyncIterator[Pair]:
    spec, name = ColourEncoder().spec, f"photos-{uuid.uuid4().hex}"
    async with AsyncExitStack() as stack:
        link = await stack.enter_async_context(faulty_link(qdrant.port))
        engines = []
        for url in (link.url, qdrant.url):
            metrics = Metrics()
            notes = Notes(Objects.open(None, default=tmp_path), metrics, collection="photos")
            config = ServerConfig(name, _connection(qdrant, url))
            store = await ServerStore.open(config, CollectionMeta(spec.name, spec.dimension), notes)
            cache = LocalCache(max_entries=100, max_bytes=1_000_000, ttl=60, metrics=metrics)
            engines.append(engine_over(store, cache, tmp_path, notes=notes, metrics=metrics))
            stack.push_async_callback(engines[-1].close)
        yield Pair(*engines, link, tmp_path)


def _connection(qdrant: QdrantProcess, url: str) -> Any:
    return type(qdrant.connection())(url, prefer_grpc=False)


async def test_a_deletion_whose_answers_are_all_lost_is_told_as_done(pair: Pair) -> None:
    await pair.one.index_image(RED, image_id="a")
    pair.link.faults[:] = LOST * EVERY
    until = await pair.one.delete_image("a", undo_seconds=60)

    assert until is not None
    with pytest.raises(ImageNotFound):
        await pair.other.get_image("a")
    pair.link.faults.clear()
    assert (await pair.one.restore_image("a")).sha256 == digest(RED)


async def test_an_image_whose_answers_are_all_lost_is_told_as_what_it_became(pair: Pair) -> None:
    pair.link.faults[:] = LOST * EVERY
    indexed = await pair.one.index_image(RED, image_id="a")
    assert (indexed.created, indexed.changed) == (True, True)
    replaced = await pair.one.index_image(BLUE, image_id="a", metadata={"v": 2})
    assert (replaced.created, replaced.changed) == (False, True)
    patched = await pair.one.patch_metadata("a", {"v": 3})

    assert patched.metadata == {"v": 3}
    found = await pair.other.get_image("a")
    assert (found.sha256, found.metadata) == (digest(BLUE), {"v": 3})


async def test_what_cannot_be_found_out_is_said_to_be_unknown(pair: Pair) -> None:
    pair.link.faults[:] = HELD * EVERY
    with pytest.raises(WriteOutcomeUnknown, match=r"may"):
        await pair.one.index_image(RED, image_id="a")
    pair.link.faults.clear()
    with pytest.raises(ImageNotFound):
        await pair.other.get_image("a")
    assert set(pair.notes()) == {".given-up"}

    await pair.other.index_image(RED, image_id="a", metadata={"v": 2})
    pair.link.faults[:] = HELD * EVERY
    with pytest.raises(WriteOutcomeUnknown):
        await pair.one.delete_image("a")
    assert (await pair.other.get_image("a")).metadata == {"v": 2}


async def test_an_image_that_comes_back_after_its_deletion_is_deleted_again(pair: Pair) -> None:
    pair.link.faults[:] = HELD
    await pair.one.index_image(RED, image_id="a")
    await pair.other.delete_image("a", undo_seconds=60)
    await pair.link.land()
    assert (await pair.other.get_image("a")).sha256 == digest(RED), "it did not land, so nothing is tested"
    stale = await pair.other.search_by_image(BLUE, TOP)
    assert [match.image_id for match in stale.matches] == ["a"]

    # As if the first replica had died since.
    assert await _sweep(pair.other) == 1
    with pytest.raises(ImageNotFound):
        await pair.other.get_image("a")
    assert not (await pair.other.search_by_image(BLUE, TOP)).matches
    assert _value(pair.other, "image_similarity_writes_mended_total") == 1
    assert _value(pair.other, "image_similarity_writes_unsettled") == 1
    assert await _sweep(pair.other) == 0
    # And what was deleted can still be restored.
    await pair.other.restore_image("a")
    assert await _sweep(pair.other) == 0
    assert (await pair.other.get_image("a")).sha256 == digest(RED)


async def test_an_image_that_was_not_there_to_be_deleted_yet_does_not_come_later(pair: Pair) -> None:
    pair.link.faults[:] = HELD * EVERY
    with pytest.raises(WriteOutcomeUnknown):
        await pair.one.index_image(RED, image_id="a")
    pair.link.faults.clear()
    with pytest.raises(ImageNotFound):
        await pair.other.delete_image("a")
    await pair.link.land()

    assert await _sweep(pair.other) == 1
    with pytest.raises(ImageNotFound):
        await pair.other.get_image("a")


async def test_an_image_that_lands_late_overwrites_nothing_newer(pair: Pair) -> None:
    await pair.one.index_image(RED, image_id="a", metadata={"v": 1})
    pair.link.faults[:] = HELD
    await pair.one.index_image(BLUE, image_id="a", metadata={"v": 2})
    await pair.other.patch_metadata("a", {"v": 3})
    await pair.link.land()
    assert (await pair.other.get_image("a")).metadata == {"v": 3}

    pair.link.faults[:] = HELD
    await pair.one.patch_metadata("a", {"v": 4})
    await pair.other.index_image(RED, image_id="a", metadata={"v": 5})
    await pair.link.land()
    assert (await pair.other.get_image("a")).metadata == {"v": 5}
    assert await _sweep(pair.other) == 0
    assert (await pair.other.get_image("a")).metadata == {"v": 5}


async def test_a_deletion_that_lands_late_deletes_nothing_newer(pair: Pair) -> None:
    await pair.one.index_image(RED, image_id="a")
    pair.link.faults[:] = HELD
    await pair.one.delete_image("a", undo_seconds=60)
    await pair.other.restore_image("a")
    await pair.link.land()
    assert (await pair.other.get_image("a")).sha256 == digest(RED)

    pair.link.faults[:] = HELD
    await pair.one.delete_image("a")
    await pair.other.index_image(RED, image_id="a", metadata={"v": 2})
    await pair.link.land()
    assert await _sweep(pair.other) == 0
    assert (await pair.other.get_image("a")).metadata == {"v": 2}


async def test_who_indexes_what_is_about_to_be_removed_keeps_it(pair: Pair) -> None:
    pair.link.faults[:] = HELD
    await pair.one.index_image(RED, image_id="a")
    await pair.other.delete_image("a")
    await pair.link.land()
    assert (await pair.other.index_image(RED, image_id="a")).changed

    assert await _sweep(pair.one) == 0
    assert (await pair.other.get_image("a")).sha256 == digest(RED)


async def test_what_is_deleted_while_written_twice_gets_a_name_that_lives(pair: Pair) -> None:
    notes: Any = _settler(pair.one)._notes
    original = notes.note

    async def note(image_id: str, revision: str | None) -> None:
        await original(image_id, revision)
        # As another replica does for which the image is not there yet.
        await notes.condemn(image_id)

    notes.note = note
    pair.link.faults[:] = HELD
    await pair.one.index_image(RED, image_id="a")

    assert pair.notes() == [".condemned", ".given-up"]
    assert await _sweep(pair.other) == 0
    assert (await pair.other.get_image("a")).sha256 == digest(RED)


async def test_without_the_storage_a_write_succeeds_and_its_lost_note_counts(pair: Pair) -> None:
    (pair.folder / "unsettled").write_text("a file, where the storage wants to make a folder")
    pair.link.faults[:] = HELD
    await pair.one.index_image(RED, image_id="a")
    assert _value(pair.one, "image_similarity_write_notes_lost_total") > 0
    assert (await pair.other.get_image("a")).sha256 == digest(RED)
    await pair.one.delete_image("a")
    with pytest.raises(ImageNotFound):
        await pair.other.get_image("a")


async def test_bytes_are_kept_for_an_image_that_may_land_later(pair: Pair) -> None:
    pair.link.faults[:] = HELD * EVERY
    with pytest.raises(WriteOutcomeUnknown):
        await pair.one.index_image(RED, image_id="a")
    pair.link.faults.clear()
    await _writes(pair.other)._trash.sweep()
    await pair.link.land()
    await _sweep(pair.other)
    assert await pair.other.original(await pair.other.get_image("a")) == RED


async def test_a_late_write_makes_older_results_stale(pair: Pair) -> None:
    pair.link.faults[:] = HELD * EVERY
    with pytest.raises(WriteOutcomeUnknown):
        await pair.one.index_image(RED, image_id="a")
    pair.link.faults.clear()
    await _sweep(pair.other)
    assert not (await pair.other.search_by_image(RED, TOP)).matches
    await pair.link.land()
    await _sweep(pair.other)
    assert [match.image_id for match in (await pair.other.search_by_image(RED, TOP)).matches] == ["a"]


async def test_notes_are_forgotten_when_nothing_can_land_any_more(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.link.faults[:] = HELD
    await pair.one.index_image(RED, image_id="a")
    await _sweep(pair.other)
    assert pair.notes() == [".given-up"]
    monkeypatch.setattr(unsettled, "KEEP_SECONDS", -1)
    await _sweep(pair.other)
    assert pair.notes() == []
    await _sweep(pair.other)
    assert _value(pair.other, "image_similarity_writes_unsettled") == 0


def _writes(engine: SearchEngine) -> Any:
    return engine._writes


def _settler(engine: SearchEngine) -> Settler:
    settler: Settler = _writes(engine)._settler
    return settler


async def _sweep(engine: SearchEngine) -> int:
    return await _settler(engine).sweep()


def _value(engine: SearchEngine, name: str) -> float:
    return engine.metrics.registry.get_sample_value(name) or 0
