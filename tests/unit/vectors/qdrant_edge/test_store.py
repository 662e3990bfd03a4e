"""What is particular to the store in this process: its folder, its lock, what it refuses. See test_field_indexes.py."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import orjson
import pytest
import qdrant_edge as edge

from image_similarity.domain.errors import ModelMismatch, StoreLocked, StoreUnavailable
from image_similarity.vectors.qdrant_edge import folder as edge_folder
from image_similarity.vectors.qdrant_edge import opening as edge_opening
from image_similarity.vectors.qdrant_edge.filters import to_point
from image_similarity.vectors.qdrant_edge.folder_lock import FolderInUse
from image_similarity.vectors.qdrant_edge.store import (
    CollectionMeta,
    EmbeddedStore,
    ExistingCollection,
    inspect_collection,
)
from tests.support.records import DIMENSION, record, towards
from tests.unit.vectors.qdrant_edge.conftest import META, found


async def filled(folder: Path, meta: CollectionMeta = META) -> None:
    store = EmbeddedStore.open(folder, meta)
    await store.upsert([(record("a", {"v": 1}), towards(0)), (record("b", {"v": "x"}), towards(50))])
    await store.close()


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
