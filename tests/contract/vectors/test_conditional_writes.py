"""Writes of one image under the condition that it is as it was read."""

from __future__ import annotations

import pytest

from image_similarity.vectors.base import VectorStore
from image_similarity.vectors.qdrant_edge.store import EmbeddedStore
from tests.support.records import record, towards


async def test_a_new_image_is_put(store: VectorStore) -> None:
    assert await store.put(record("a", {"v": 1}), towards(0), None)
    found = await store.get("a")
    assert found is not None
    assert found.metadata == {"v": 1}
    assert found.revision is not None


async def test_an_image_is_put_over_the_one_that_was_read(store: VectorStore) -> None:
    await store.put(record("a", {"v": 1}, content="first"), towards(0), None)
    before = await store.get("a")
    assert await store.put(record("a", {"v": 2}, content="second"), towards(90), before)
    found = await store.get("a")
    assert found is not None
    assert before is not None
    assert found.metadata == {"v": 2}
    assert found.revision != before.revision


async def test_an_image_is_deleted_in_one_state_only(store: VectorStore) -> None:
    await store.put(record("a"), towards(0), None)
    old = await store.get("a")
    await store.put(record("a", {"v": 2}), towards(0), old)
    new = await store.get("a")
    assert old is not None
    assert new is not None

    assert await store.delete("a", revision=old.revision) is None
    assert await store.get("a") == new
    assert await store.delete("a", revision=new.revision) == new
    assert await store.get("a") is None
    assert await store.delete("a", revision=new.revision) is None


async def test_an_image_that_is_not_as_it_was_read_is_left_alone(store: VectorStore) -> None:
    if isinstance(store, EmbeddedStore):
        pytest.skip("an embedded collection has one writer per image, which knows what is there")
    await store.put(record("a", {"v": 1}), towards(0), None)
    old = await store.get("a")
    await store.put(record("a", {"v": 2}), towards(0), old)
    for read in (None, old):
        assert not await store.put(record("a", {"v": 3}), towards(90), read)
        found = await store.get("a")
        assert found is not None
        assert found.metadata == {"v": 2}


async def test_an_image_that_was_deleted_since_is_written_anew(store: VectorStore) -> None:
    await store.put(record("a", {"v": 1}), towards(0), None)
    old = await store.get("a")
    await store.delete("a")
    assert await store.put(record("a", {"v": 2}), towards(0), old)
    assert await store.get("a") is not None
