"""The indexes that the store in this process makes of metadata, and the graph that it makes of vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import qdrant_edge as edge
from structlog.testing import capture_logs

from image_similarity.domain.filters import parse_filter
from image_similarity.vectors.filters import IndexKind, wanted_indexes
from image_similarity.vectors.qdrant_edge import field_indexes as edge_indexes
from image_similarity.vectors.qdrant_edge.field_indexes import FieldIndexes
from image_similarity.vectors.qdrant_edge.store import CollectionMeta, EmbeddedStore
from tests.support.records import record, towards
from tests.unit.vectors.qdrant_edge.conftest import found


async def test_a_field_gets_its_index_when_it_is_first_filtered_on(store: EmbeddedStore) -> None:
    await store.upsert([(record("a", {"n": 1, "s": "x", "t": "2024-01-01", "c": {"d e": 1}, "b": True}), towards(0))])
    assert (await store.info()).field_indexes == ()

    await found(store, {"s": "x"})
    assert (await store.info()).field_indexes == ("s",)
    await found(store, {"or": [{"n": {"gt": 0}}, {"t": {"gt": "2020-01-01"}}, {"c.d e": 1}]})
    assert (await store.info()).field_indexes == ("c.d e", "n", "s", "t")


async def test_no_index_is_made_where_it_would_serve_nobody(store: EmbeddedStore) -> None:
    await store.upsert([(record("a", {"b": True, "n": 1}), towards(0))])

    for raw in ({"nowhere": 1}, {"b": True}, {"n": {"exists": True}}, {"n": {"lt": "2024-01-01"}}):
        await found(store, raw)
    assert (await store.info()).field_indexes == ()


async def test_no_search_waits_for_an_index_and_absent_fields_are_sought_once(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.upsert([(record("a", {"n": 1}), towards(0))])
    looked_for: list[str] = []
    make = FieldIndexes._make

    def noted(self: FieldIndexes, shard: edge.EdgeShard, path: str, kind: IndexKind) -> bool:
        looked_for.append(path)
        return make(self, shard, path, kind)

    monkeypatch.setattr(FieldIndexes, "_make", noted)
    condition = parse_filter({"or": [{"n": 1}, *({f"f{number}": 1} for number in range(15))]})
    assert [match.image_id for match in await store.query(towards(0), top_k=5, condition=condition)] == ["a"]
    assert looked_for == []
    for _ in range(3):
        await store.query(towards(0), top_k=5, condition=condition)
    await store.field_indexes.settled()
    assert sorted(looked_for) == sorted(wanted_indexes(condition))
    assert await found(store, {"f0": 1}) == []
    assert len(looked_for) == 16
    assert (await store.info()).field_indexes == ("n",)


async def test_an_index_that_fails_is_told_and_wanted_again(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.upsert([(record("a", {"n": 1}), towards(0))])
    with monkeypatch.context() as patched, capture_logs() as lines:
        patched.setattr(FieldIndexes, "_make", lambda *_: 1 / 0)
        assert await found(store, {"n": 1}) == ["a"]
    assert [line["event"] for line in lines] == ["field_index_failed"]
    assert await found(store, {"n": 1}) == ["a"]
    assert (await store.info()).field_indexes == ("n",)


async def test_a_caller_cannot_fill_the_memory_with_indexes(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_indexes, "MAX_FIELD_INDEXES", 3)
    await store.upsert([(record("a", {f"f{number}": number for number in range(6)}), towards(0))])

    for number in range(6):
        assert await found(store, {f"f{number}": number}) == ["a"]
    await found(store, {"and": [{f"f{number}": number} for number in range(6)]})
    assert (await store.info()).field_indexes == ("f0", "f1", "f2")


async def test_a_small_collection_stays_without_a_graph(store: EmbeddedStore) -> None:
    await store.upsert([(record(f"{angle}"), towards(angle)) for angle in range(100)])

    assert await store.optimize() is False
    assert (await store.info()).indexed_vectors == 0
    assert [match.image_id for match in await store.query(towards(7), top_k=1)] == ["7"]


async def test_a_large_collection_gets_a_graph_and_finds_the_same(folder: Path) -> None:
    """Edge builds it from 10,000 kB of vectors on: few but long ones take the least time."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(700, 4096)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store = EmbeddedStore.open(folder, CollectionMeta("long", 4096))
    try:
        points = [(record(f"{number}", {"half": number % 2}), vector) for number, vector in enumerate(vectors)]
        await store.upsert(points)
        await store.delete("5")
        condition = parse_filter({"half": 1})

        async def nearest() -> list[list[str]]:
            answers = [await store.query(vector, top_k=3, condition=condition) for vector in vectors[:20]]
            return [[match.image_id for match in matches] for matches in answers]

        before = await nearest()

        assert await store.optimize() is True

        info = await store.info()
        assert (info.images, info.indexed_vectors) == (699, 699)
        assert await nearest() == before
        assert [match.image_id for match in await store.query(vectors[9], top_k=1)] == ["9"]
        assert await store.get("5") is None
        await store.upsert([(record("late"), vectors[5])])
        assert [match.image_id for match in await store.query(vectors[5], top_k=1)] == ["late"]
        assert await store.optimize() is False
    finally:
        await store.close()
    assert [entry.name for entry in folder.parent.iterdir() if entry.is_dir()] == ["photos"]
