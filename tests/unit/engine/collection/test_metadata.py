"""Changing metadata: what changes, what stays, and what concurrent changes leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from image_similarity.domain.errors import ImageNotFound, InvalidRequest
from image_similarity.domain.filters import parse_filter
from image_similarity.domain.metadata import MAX_METADATA_BYTES
from image_similarity.domain.queries import SearchOptions
from image_similarity.vectors.qdrant_edge.store import EmbeddedStore
from tests.support.engines import ORANGE, RED, TOP, EngineUnderTest, digest, found, running_engine


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineUnderTest]:
    async with running_engine(tmp_path) as rig:
        yield rig


async def test_a_patch_changes_the_metadata_and_nothing_else(rig: EngineUnderTest) -> None:
    await rig.engine.index_image(RED, image_id="a", metadata={"v": 1, "old": True, "owner": {"name": "Kim"}})
    before = await rig.engine.get_image("a")

    patched = await rig.engine.patch_metadata("a", {"v": 2, "old": None, "owner": {"age": 7}})

    assert patched == replace(before, metadata={"v": 2, "owner": {"name": "Kim", "age": 7}})
    assert await rig.engine.get_image("a") == patched
    assert rig.stored() == {digest(RED)}
    [match] = (await rig.engine.search_by_image(RED, TOP)).matches
    assert match.score == pytest.approx(1, abs=1e-5)


async def test_the_next_search_sees_a_patch_though_results_are_cached(rig: EngineUnderTest) -> None:
    await rig.engine.index_image(RED, image_id="a", metadata={"v": 1})
    two = SearchOptions(filter=parse_filter({"v": 2}))
    assert await found(rig, ORANGE, two) == []

    await rig.engine.patch_metadata("a", {"v": 2})
    assert await found(rig, ORANGE, two) == ["a"]
    [match] = (await rig.engine.search_by_image(ORANGE, TOP)).matches
    assert match.metadata == {"v": 2}


async def test_a_patch_that_changes_nothing_writes_nothing(
    rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.engine.index_image(RED, image_id="a", metadata={"v": 1})

    async def refuse(*_: object) -> bool:
        raise AssertionError("something was written")

    monkeypatch.setattr(EmbeddedStore, "set_metadata", refuse)
    assert (await rig.engine.patch_metadata("a", {"v": 1, "w": None})).metadata == {"v": 1}


async def test_a_patch_is_refused_where_the_image_or_the_sense_is_missing(rig: EngineUnderTest) -> None:
    with pytest.raises(ImageNotFound, match='"nowhere"'):
        await rig.engine.patch_metadata("nowhere", {"v": 1})

    half = "x" * (MAX_METADATA_BYTES * 2 // 3)
    await rig.engine.index_image(RED, image_id="a", metadata={"one": half})
    with pytest.raises(InvalidRequest, match="the limit is"):
        await rig.engine.patch_metadata("a", {"two": half})
    assert (await rig.engine.get_image("a")).metadata == {"one": half}


async def test_an_image_that_is_deleted_meanwhile_elsewhere_does_not_come_back(
    rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.engine.index_image(RED, image_id="a")
    original = EmbeddedStore.set_metadata

    async def too_late(store: EmbeddedStore, *given: Any) -> bool:
        await store.delete("a")
        return await original(store, *given)

    monkeypatch.setattr(EmbeddedStore, "set_metadata", too_late)
    with pytest.raises(ImageNotFound):
        await rig.engine.patch_metadata("a", {"v": 1})
    assert await found(rig) == []


async def test_of_concurrent_patches_none_is_lost(rig: EngineUnderTest) -> None:
    await rig.engine.index_image(RED, image_id="a")
    await asyncio.gather(*(rig.engine.patch_metadata("a", {f"key-{number}": number}) for number in range(20)))

    assert (await rig.engine.get_image("a")).metadata == {f"key-{number}": number for number in range(20)}
