"""Copying a collection: everything arrives once, stopped copies go on, and a bad copy is not called good."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from image_similarity.domain.errors import MigrationFailed, StoreUnavailable
from image_similarity.domain.records import Embedding, ImageRecord, Tagging
from image_similarity.engine.collection import migration
from image_similarity.engine.collection.migration import Progress, Report, copy_collection
from image_similarity.vectors.base import VectorStore
from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.keywords import KeywordQuery
from image_similarity.vectors.qdrant_edge.store import EmbeddedStore
from image_similarity.vectors.qdrant_server.store import ServerConfig, ServerStore
from tests.support.qdrant_process import QdrantProcess
from tests.support.records import DIMENSION, record

META = CollectionMeta("colours", DIMENSION)
IMAGES = 25


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "BATCH", 4)


@pytest.fixture
async def stores(tmp_path: Path, qdrant: QdrantProcess) -> AsyncIterator[dict[str, VectorStore]]:
    embedded = EmbeddedStore.open(tmp_path / "photos", META)
    server = await ServerStore.open(ServerConfig(f"photos-{uuid.uuid4().hex}", qdrant.connection()), META)
    yield {"embedded": embedded, "server": server}
    await embedded.close()
    await server.close()


@pytest.fixture(params=["embedded", "server"])
async def source(request: pytest.FixtureRequest, stores: dict[str, VectorStore]) -> VectorStore:
    filled = stores[request.param]
    await filled.upsert(POINTS)
    return filled


@pytest.fixture
def target(source: VectorStore, stores: dict[str, VectorStore]) -> VectorStore:
    return next(store for store in stores.values() if store is not source)


def _points() -> list[tuple[ImageRecord, Embedding]]:
    vectors = np.random.default_rng(0).normal(size=(IMAGES, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    metadata: dict[str, Any] = {"tags": ["a", 1, True], "seen": "2024-05-01T12:00:00Z", "big": 2**63}
    return [(record(f"é/{number}", metadata, minute=number), vector) for number, vector in enumerate(vectors)]


POINTS = _points()


class Faulty:
    """A store whose `upsert` a test has replaced."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def upsert(self, points: Sequence[tuple[ImageRecord, Embedding]]) -> None:
        self.calls += 1
        await self._store.upsert(self.change(list(points)))

    def change(self, points: list[tuple[ImageRecord, Embedding]]) -> list[tuple[ImageRecord, Embedding]]:
        raise NotImplementedError


async def copy(source: VectorStore, target: Any) -> tuple[Report, list[Progress]]:
    seen: list[Progress] = []
    return await copy_collection(source, target, seen.append), seen


async def test_everything_arrives_with_its_time_and_vector(source: VectorStore, target: VectorStore) -> None:
    report, seen = await copy(source, target)

    assert (report.images, report.copied, report.surplus, report.sampled) == (IMAGES, IMAGES, 0, IMAGES)
    assert report.lowest_cosine >= 0.9999
    for expected, vector in POINTS:
        assert await target.get(expected.image_id) == expected
        copied = await target.get_vector(expected.image_id)
        assert copied is not None
        assert float(copied @ vector) == pytest.approx(1, abs=1e-5)
    assert [one.done for one in seen] == [4, 8, 12, 16, 20, 24, 25]
    assert {one.total for one in seen} == {IMAGES}
    listed = (await target.scroll(limit=100)).records
    assert [one.image_id for one in listed] == [f"é/{number}" for number in reversed(range(IMAGES))]


async def test_a_copy_that_was_stopped_goes_on_and_duplicates_nothing(source: VectorStore, target: VectorStore) -> None:
    class Dying(Faulty):
        def change(self, points: list[tuple[ImageRecord, Embedding]]) -> list[tuple[ImageRecord, Embedding]]:
            if self.calls > 3:
                raise StoreUnavailable("gone")
            return points

    with pytest.raises(StoreUnavailable):
        await copy(source, Dying(target))
    assert (await target.info()).images == 12

    report, _ = await copy(source, target)
    assert (report.images, report.copied) == (IMAGES, IMAGES - 12)
    assert (await target.info()).images == IMAGES


async def test_a_repeated_copy_writes_only_what_changed(source: VectorStore, target: VectorStore) -> None:
    await copy(source, target)
    changed = record("é/3", {"new": True}, minute=99)
    await source.upsert([(changed, POINTS[7][1])])

    report, _ = await copy(source, target)

    assert report.copied == 1
    assert await target.get("é/3") == changed
    assert (await copy(source, target))[0].copied == 0


async def test_what_the_target_held_before_stays_and_is_told(source: VectorStore, target: VectorStore) -> None:
    await target.upsert([(record("own"), POINTS[0][1])])

    report, _ = await copy(source, target)

    assert report.surplus == 1
    assert await target.get("own") == record("own")


async def test_an_empty_collection_is_copied_too(stores: dict[str, VectorStore]) -> None:
    report, _ = await copy(stores["embedded"], stores["server"])

    assert report == Report(images=0, copied=0, sampled=0, lowest_cosine=1.0, surplus=0)


async def test_images_that_did_not_arrive_are_counted(source: VectorStore, target: VectorStore) -> None:
    class Losing(Faulty):
        def change(self, points: list[tuple[ImageRecord, Embedding]]) -> list[tuple[ImageRecord, Embedding]]:
            return points[1:]

    with pytest.raises(MigrationFailed, match="holds 18 of 25 images"):
        await copy(source, Losing(target))


async def test_vectors_that_did_not_arrive_whole_are_found(source: VectorStore, target: VectorStore) -> None:
    class Distorting(Faulty):
        def change(self, points: list[tuple[ImageRecord, Embedding]]) -> list[tuple[ImageRecord, Embedding]]:
            return [(one, np.roll(vector, 1)) for one, vector in points]

    with pytest.raises(MigrationFailed, match="is not the same in the target"):
        await copy(source, Distorting(target))


async def test_a_source_that_was_written_to_meanwhile_is_noticed(source: VectorStore, target: VectorStore) -> None:
    class Racing(Faulty):
        def change(self, points: list[tuple[ImageRecord, Embedding]]) -> list[tuple[ImageRecord, Embedding]]:
            return points

        async def info(self, **how: bool) -> Any:
            self.calls += 1
            await source.upsert([(record(f"late-{self.calls}"), POINTS[0][1])])
            return await source.info(**how)

    with pytest.raises(MigrationFailed, match="written to meanwhile"):
        await copy_collection(Racing(source), target, lambda _: None)  # type: ignore[arg-type]


def test_every_image_has_the_same_chance_to_be_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = dict.fromkeys(map(str, range(20)), 0)
    for _ in range(400):
        sample = migration._Sample(5)
        for image_id in counts:
            sample.offer(image_id, POINTS[0][1])
        assert len({image_id for image_id, _ in sample.kept}) == 5
        for image_id, _ in sample.kept:
            counts[image_id] += 1
    # 100 each on average; five standard deviations.
    assert all(abs(count - 100) < 45 for count in counts.values()), counts


async def test_what_a_tagger_filled_and_what_words_find_comes_along(source: VectorStore, target: VectorStore) -> None:
    tagging = Tagging("imagenet", ("tags",), {"tabby": 0.8})
    tagged = replace(record("tagged", {"tags": ["tabby"]}), tagging=tagging)
    await source.upsert([(tagged, POINTS[0][1])])

    await copy_collection(source, target, lambda _: None)
    assert await target.get("tagged") == tagged
    assert [match.image_id for match in await target.query(KeywordQuery("tabbies"), top_k=3)] == ["tagged"]
