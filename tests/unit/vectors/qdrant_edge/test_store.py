"""What is particular to the store in this process: its folder, its lock, its indexes, its graph."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import orjson
import pytest
import qdrant_edge as edge
from structlog.testing import capture_logs

from image_similarity.domain.errors import ModelMismatch, StoreLocked, StoreUnavailable
from image_similarity.domain.filters import parse_filter
from image_similarity.vectors.filters import IndexKind, wanted_indexes
from image_similarity.vectors.qdrant_edge import field_indexes as edge_indexes
from image_similarity.vectors.qdrant_edge import folder as edge_folder
from image_similarity.vectors.qdrant_edge import opening as edge_opening
from image_similarity.vectors.qdrant_edge.field_indexes import FieldIndexes
from image_similarity.vectors.qdrant_edge.filters import to_point
from image_similarity.vectors.qdrant_edge.folder_lock import FolderInUse
from image_similarity.vectors.qdrant_edge.store import (
    CollectionMeta,
    EmbeddedStore,
    ExistingCollection,
    inspect_collection,
)
from tests.support.records import DIMENSION, record, towards

META = CollectionMeta("colours", DIMENSION)


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[EmbeddedStore]:
    opened = EmbeddedStore.open(folder, META)
    yield opened
    await opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "collections" / "photos"


async def filled(folder: Path, meta: CollectionMeta = META) -> None:
    store = EmbeddedStore.open(folder, meta)
    await store.upsert([(record("a", {"v": 1}), towards(0)), (record("b", {"v": "x"}), towards(50))])
    await store.close()


async def found(store: EmbeddedStore, raw: dict[str, object]) -> list[str]:
    matches = await store.query(towards(0), top_k=10, condition=parse_filter(raw))
    await store.field_indexes.settled()
    return [match.image_id for match in matches]


async def test_reopening_keeps_images_vectors_and_indexes(folder: Path) -> None:
    await filled(folder)
    store = EmbeddedStore.open(folder, META)
    assert await found(store, {"v": "x"}) == ["b"]
    info = await store.info()
    await store.close()

    again = EmbeddedStore.open(folder, META)
    try:
        assert await again.info() == info
        assert info.images == 2
        assert info.field_indexes == ("v",)
        assert await again.get("b") == record("b", {"v": "x"})
        assert [match.image_id for match in await again.query(towards(40), top_k=5)] == ["b", "a"]
    finally:
        await again.close()


async def test_a_second_opener_is_told_who_has_it_and_does_no_harm(store: EmbeddedStore, folder: Path) -> None:
    await store.upsert([(record("a", {"v": 1}), towards(0))])
    for open_again in (lambda: EmbeddedStore.open(folder, META), lambda: inspect_collection(folder)):
        with pytest.raises(FolderInUse, match=rf"{folder} is in use by .*\(pid {os.getpid()}\)"):
            open_again()

    await store.upsert([(record("b", {"w": 1}), towards(0))])
    assert await found(store, {"w": 1}) == ["b"]
    await store.close()
    assert inspect_collection(folder) == ExistingCollection(META, 2)


async def test_a_shard_that_another_program_has_open_is_left_alone(folder: Path) -> None:
    """Such as a server of a version that had no lock of ours."""
    await filled(folder)
    shard = edge.EdgeShard.load(str(folder / "shard"))
    shard.update(edge.UpdateOperation.upsert_points([to_point(record("c", {"w": 1}), towards(0))]))
    for open_again in (lambda: EmbeddedStore.open(folder, META), lambda: inspect_collection(folder)):
        with pytest.raises(StoreLocked, match="in use by another program"):
            open_again()
    shard.flush()
    shard.close()
    assert inspect_collection(folder) == ExistingCollection(META, 3)


@pytest.mark.parametrize("other", [CollectionMeta("shapes", DIMENSION), CollectionMeta("colours", 2 * DIMENSION)])
async def test_another_model_is_refused_by_both_names_and_nothing_is_lost(folder: Path, other: CollectionMeta) -> None:
    await filled(folder)

    with pytest.raises(ModelMismatch) as caught:
        EmbeddedStore.open(folder, other)

    said = str(caught.value)
    assert "made with colours (8 dimensions)" in said
    assert f"runs {other.model} ({other.dimension})" in said
    assert "MODEL_NAME=colours" in said
    assert inspect_collection(folder) == ExistingCollection(META, 2)


async def test_an_empty_collection_follows_another_model(folder: Path) -> None:
    await EmbeddedStore.open(folder, META).close()
    other = CollectionMeta("shapes", 2)

    store = EmbeddedStore.open(folder, other)
    try:
        await store.upsert([(record("a"), np.array([0, 1], dtype=np.float32))])
        assert (await store.info()).model == "shapes"
    finally:
        await store.close()
    assert inspect_collection(folder) == ExistingCollection(other, 1)


def test_peeking_where_nothing_is_makes_nothing(folder: Path) -> None:
    assert inspect_collection(folder) is None
    assert not folder.exists()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"model": "colours"}', '{"model": "m", "dimension": 8, "x": 1}'])
async def test_a_damaged_description_is_mended_from_its_copy(folder: Path, content: str) -> None:
    await filled(folder)
    whole = (folder / "collection.json").read_text()
    (folder / "collection.json").write_text(content)

    store = EmbeddedStore.open(folder, META)
    assert (await store.info()).images == 2
    await store.close()
    assert (folder / "collection.json").read_text() == whole


async def test_a_missing_shard_is_named(folder: Path) -> None:
    await filled(folder)
    (folder / "shard").rename(folder / "elsewhere")

    with pytest.raises(StoreUnavailable, match="photos is damaged and cannot be opened"):
        EmbeddedStore.open(folder, META)


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(StoreUnavailable, match="file"):
        EmbeddedStore.open(tmp_path / "file" / "photos", META)


async def test_a_failed_making_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(edge_folder, "asdict", fail)
        with pytest.raises(StoreUnavailable, match="disk full"):
            EmbeddedStore.open(folder, META)

    assert [entry.name for entry in folder.parent.iterdir()] == ["photos.lock"]
    await EmbeddedStore.open(folder, META).close()


async def test_indexes_that_cannot_be_made_are_told_and_the_folder_is_let_go(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(edge_opening, "ensure_text_indexes", fail)
        with pytest.raises(StoreUnavailable, match=r"indexes.*disk full"):
            EmbeddedStore.open(folder, META)

    await EmbeddedStore.open(folder, META).close()


async def test_the_description_is_plain_json(store: EmbeddedStore, folder: Path) -> None:
    assert orjson.loads((folder / "collection.json").read_bytes()) == {"model": "colours", "dimension": DIMENSION}


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


async def test_a_vector_of_another_length_is_refused_and_the_store_goes_on(store: EmbeddedStore) -> None:
    wrong = np.ones(DIMENSION + 1, dtype=np.float32)

    with pytest.raises(StoreUnavailable, match="expected dim: 8, got 9"):
        await store.upsert([(record("a"), wrong)])
    with pytest.raises(StoreUnavailable, match="expected dim: 8, got 9"):
        await store.query(wrong, top_k=1)
    await store.upsert([(record("a"), towards(0))])
    assert (await store.info()).images == 1


async def test_a_panic_in_the_engine_is_an_error_like_any_other(store: EmbeddedStore) -> None:
    """Edge writes what it cannot read back, and panics over it; the program itself never writes so deep."""
    deep: dict[str, object] = {}
    for _ in range(150):
        deep = {"a": deep}
    await store.upsert([(record("deep", deep), towards(0))])

    with pytest.raises(StoreUnavailable, match="recursion limit"):
        await found(store, {"v": 1})


async def test_closing_twice_is_harmless_and_a_closed_store_says_so(store: EmbeddedStore, folder: Path) -> None:
    await store.upsert([(record("a"), towards(0))])
    await store.close()
    await store.close()

    assert inspect_collection(folder) == ExistingCollection(META, 1)
    with pytest.raises(StoreUnavailable, match='"photos" is closed'):
        await store.get("a")


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
