"""A collection of an earlier version, in the hands of an engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import qdrant_edge as edge

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.engine.collection.backfill import run_backfill
from image_similarity.vectors.keywords import KEYWORDS, KeywordQuery
from image_similarity.vectors.qdrant_edge.store import EmbeddedStore
from tests.support.engines import BLUE, RED, EngineUnderTest, running_engine

STRIP = edge.UpdateOperation.delete_payload_by_filter(edge.Filter(), [KEYWORDS])


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineUnderTest]:
    """Two images, as an earlier version would have left them."""
    async with running_engine(tmp_path) as running:
        await running.engine.index_image(RED, image_id="red", metadata={"tags": ["warm"]})
        await running.engine.index_image(BLUE, image_id="blue", metadata={"tags": ["cold"]})
        await running.vectors._shard.write(lambda shard: shard.update(STRIP))
        yield running


async def found(rig: EngineUnderTest, text: str) -> list[str]:
    return [match.image_id for match in await rig.vectors.query(KeywordQuery(text), top_k=5)]


async def test_an_earlier_versions_images_are_brought_up_to_date_once(rig: EngineUnderTest) -> None:
    assert await found(rig, "warm") == []

    assert await rig.engine.bring_up_to_date() == 2
    assert await found(rig, "warm") == ["red"]
    assert await rig.engine.bring_up_to_date() == 0


async def test_what_was_answered_before_is_not_answered_again(rig: EngineUnderTest) -> None:
    before = await rig.cache.generation()
    await rig.engine.bring_up_to_date()
    after = await rig.cache.generation()
    await rig.engine.bring_up_to_date()

    assert before != after == await rig.cache.generation()


async def test_a_server_does_so_by_itself_as_soon_as_the_store_answers(
    rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = EmbeddedStore.backfill
    failures = iter([StoreUnavailable("away"), None, None])

    async def at_first_away(store: EmbeddedStore) -> int:
        if (failure := next(failures, None)) is not None:
            raise failure
        return await original(store)

    monkeypatch.setattr(EmbeddedStore, "backfill", at_first_away)
    monkeypatch.setattr("image_similarity.engine.collection.backfill._PAUSE", 0.01)
    monkeypatch.setattr("image_similarity.engine.collection.backfill._SECOND_LOOK", 0.01)

    async with asyncio.timeout(10):
        await run_backfill(rig.vectors, rig.cache, asyncio.Event())
    assert await found(rig, "cold") == ["blue"]


async def test_what_an_earlier_version_still_writes_is_found_the_second_time(
    rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = EmbeddedStore.backfill
    changed: list[int] = []

    async def written_behind_its_back(store: EmbeddedStore) -> int:
        changed.append(await original(store))
        if changed == [2, 0]:
            await store._shard.write(lambda shard: shard.update(STRIP))
        return changed[-1]

    monkeypatch.setattr(EmbeddedStore, "backfill", written_behind_its_back)
    monkeypatch.setattr("image_similarity.engine.collection.backfill._SECOND_LOOK", 0.01)

    async with asyncio.timeout(10):
        await run_backfill(rig.vectors, rig.cache, asyncio.Event())
    assert changed == [2, 0, 2, 0]
    assert await found(rig, "warm") == ["red"]


async def test_it_stops_when_told_to(rig: EngineUnderTest) -> None:
    stop = asyncio.Event()
    stop.set()
    await run_backfill(rig.vectors, rig.cache, stop)
    assert await found(rig, "warm") == []
