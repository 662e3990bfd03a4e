"""What every vector store does with metadata: it comes back as it was written, and a change changes nothing else."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest

from image_similarity.domain.filters import parse_filter
from image_similarity.domain.metadata import MAX_METADATA_DEPTH
from image_similarity.domain.records import Match, Metadata, Tagging
from image_similarity.vectors.base import VectorStore
from tests.support.records import read, record, towards


def ids(matches: list[Match]) -> list[str]:
    return [match.image_id for match in matches]


async def test_metadata_is_replaced_and_nothing_else(store: VectorStore) -> None:
    before = record("a", {"species": "cat", "tame": True, "born": "2020-01-01", "big": 2**63, "deep": {"x": 1}})
    await store.upsert([(before, towards(33)), (record("b", {"species": "cat"}), towards(0))])

    after = {"species": "dog", "tame": False, "deep": {"y": None}}
    assert await store.set_metadata(await read(store, "a"), after)

    assert await store.get("a") == replace(before, metadata=after)
    vector = await store.get_vector("a")
    assert vector is not None
    np.testing.assert_allclose(vector, towards(33), atol=1e-6)
    for raw, found in (
        ({"species": "dog"}, ["a"]),
        ({"species": "cat"}, ["b"]),
        ({"tame": False}, ["a"]),
        ({"tame": True}, []),
        ({"born": {"gte": "2000-01-01"}}, []),
        ({"deep.x": 1}, []),
    ):
        assert ids(await store.query(towards(0), top_k=5, condition=parse_filter(raw))) == found, raw


@pytest.mark.parametrize("metadata", [{}, {"n": 2**64 - 1}, {"born": ["2020-01-01"], "flags": [True, False]}])
async def test_any_metadata_may_replace_any_other(store: VectorStore, metadata: Metadata) -> None:
    for before in ({}, {"n": 2**64 - 2, "yes": True, "on": "2024-05-01"}):
        await store.upsert([(record("a", before), towards(0))])
        assert await store.set_metadata(await read(store, "a"), metadata)
        found = await store.get("a")
        assert found is not None
        assert json.dumps(found.metadata, sort_keys=True) == json.dumps(metadata, sort_keys=True)


async def test_setting_metadata_of_an_unknown_image_brings_nothing_into_being(store: VectorStore) -> None:
    assert not await store.set_metadata(record("nowhere"), {"a": 1})
    assert await store.get("nowhere") is None
    assert (await store.info()).images == 0


async def test_what_a_tagger_filled_is_remembered_with_the_image(store: VectorStore) -> None:
    tagging = Tagging("imagenet", ("tags",), {"jack-o'-lantern": 0.75, "a.b": 0.25})
    tagged = replace(record("a", {"tags": ["jack-o'-lantern", "a.b"]}), tagging=tagging)
    await store.upsert([(tagged, towards(0)), (record("b"), towards(0))])

    assert await store.get_many(["a", "b"]) == {"a": tagged, "b": record("b")}
    exported = await store.export(after=None, limit=10)
    assert tagged in [one for one, _ in exported.points]
    assert tagged in (await store.scroll(limit=10)).records

    for after, metadata in ((Tagging("imagenet", ()), {"tags": ["mine"]}), (None, {}), (tagging, {"x": 1})):
        assert await store.set_metadata(await read(store, "a"), metadata, after)
        assert await store.get("a") == replace(tagged, metadata=metadata, tagging=after)
    assert await store.delete("a") == replace(tagged, metadata={"x": 1})


async def test_a_change_of_what_changed_since_it_was_read_does_nothing(store: VectorStore) -> None:
    await store.upsert([(record("a", {"n": 0}), towards(0)), (record("b"), towards(0))])
    before = await read(store, "a")

    assert await store.set_metadata(before, {"n": 1})
    assert not await store.set_metadata(before, {"n": 2}, Tagging("imagenet", ()))
    # There and back again is a change too: who wrote it may have been told of the first state.
    assert await store.set_metadata(await read(store, "a"), {"n": 0})
    assert not await store.set_metadata(before, {"n": 2})

    assert await store.get("a") == before
    assert await store.get("b") == record("b")
    assert await store.set_metadata(await read(store, "a"), {"n": 2})


@pytest.mark.parametrize("content", ["a", "other bytes"])
async def test_a_change_of_what_was_indexed_anew_or_deleted_does_nothing(store: VectorStore, content: str) -> None:
    await store.upsert([(record("a", {"n": 0}), towards(0))])
    before = await read(store, "a")

    await store.upsert([(record("a", {"n": 0}, content=content), towards(9))])
    assert not await store.set_metadata(before, {"n": 1})
    assert await store.get("a") == record("a", {"n": 0}, content=content)

    before = await read(store, "a")
    await store.delete("a")
    assert not await store.set_metadata(before, {"n": 1})
    assert await store.get("a") is None


async def test_of_changes_at_once_one_is_made(store: VectorStore) -> None:
    await store.upsert([(record("a"), towards(0))])
    before = await read(store, "a")
    made = await asyncio.gather(*(store.set_metadata(before, {"n": number}) for number in range(5)))

    assert sum(made) == 1
    assert (await read(store, "a")).metadata == {"n": made.index(True)}


async def test_metadata_of_any_depth_that_is_let_in_comes_back(store: VectorStore) -> None:
    deep: Metadata = {"leaf": 2**63, "flag": True}
    for _ in range(MAX_METADATA_DEPTH - 1):
        deep = {"a": deep, "n": [1, 1.0]}
    await store.upsert([(record("a", deep), towards(0))])

    found = await store.get("a")
    assert found is not None
    assert json.dumps(found.metadata, sort_keys=True) == json.dumps(deep, sort_keys=True)
    [match] = await store.query(towards(0), top_k=1)
    assert json.dumps(match.metadata, sort_keys=True) == json.dumps(deep, sort_keys=True)


@pytest.mark.parametrize("number", [2**64 - 1, 2**63, -(2**63), 2**53 + 1, 1e308, -0.0, 0.1])
async def test_numbers_keep_their_value_and_type(store: VectorStore, number: float) -> None:
    await store.upsert([(record("a", {"n": number}), towards(0))])

    found = await store.get("a")
    assert found is not None
    assert repr(found.metadata["n"]) == repr(number)


async def test_no_metadata_is_an_empty_object(store: VectorStore) -> None:
    await store.upsert([(record("a"), towards(0))])

    [match] = await store.query(towards(0), top_k=1)
    assert match.metadata == {}
