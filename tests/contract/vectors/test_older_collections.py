"""Collections that were made before there were keyword search and revisions, and indexes of another language."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from qdrant_client import models

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.domain.records import Metadata
from image_similarity.vectors.base import VectorStore
from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.keywords import BACKFILL_BATCH, KEYWORDS, PREFIXES, WORDS, KeywordQuery
from image_similarity.vectors.payload import REVISION
from image_similarity.vectors.qdrant_edge import folder as edge_folder
from image_similarity.vectors.qdrant_edge import store as embedded
from image_similarity.vectors.qdrant_edge.store import EmbeddedStore
from image_similarity.vectors.qdrant_server.client import QdrantCalls
from image_similarity.vectors.qdrant_server.store import ServerConfig, ServerStore
from tests.support.qdrant_process import QdrantProcess
from tests.support.records import DIMENSION, read, record, towards

META = CollectionMeta("colours", DIMENSION)

ADDED = (KEYWORDS, REVISION)
"""Fields of the payload that earlier versions did not write."""

Open = Callable[[str], Awaitable[VectorStore]]
"""Opens the collection with a language."""

MakeOld = Callable[[], Awaitable[None]]
"""Takes out of the collection what this version added."""


@pytest.fixture(params=["embedded", "server-rest", "server-grpc"])
async def collection(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Open, MakeOld]]:
    """Return what opens a collection, any number of times, and what makes it an older version's."""
    opened: list[VectorStore] = []
    if request.param == "embedded":
        folder = tmp_path / "photos"

        async def open_collection(language: str) -> VectorStore:
            for store in opened:
                await store.close()
            opened.append(EmbeddedStore.open(folder, META, language=language))
            return opened[-1]

        async def make_old() -> None:
            await opened[-1].close()
            shard = edge_folder.load(folder)
            everything = embedded.edge.Filter()
            shard.update(embedded.edge.UpdateOperation.delete_payload_by_filter(everything, [*ADDED]))
            for path in (WORDS, PREFIXES):
                shard.update(embedded.edge.UpdateOperation.delete_field_index(path))
            shard.close()
    else:
        qdrant: QdrantProcess = request.getfixturevalue("qdrant")
        connection = qdrant.connection(grpc=request.param == "server-grpc")
        name = f"photos-{uuid.uuid4().hex}"

        async def open_collection(language: str) -> VectorStore:
            opened.append(await ServerStore.open(ServerConfig(name, connection, language=language), META))
            return opened[-1]

        async def make_old() -> None:
            calls = QdrantCalls(connection)
            points, _ = await calls.run(
                lambda client: client.scroll(name, limit=10_000, with_payload=True, with_vectors=True)
            )
            await calls.run(lambda client: client.upsert(name, [_without_what_was_added(point) for point in points]))
            for path in (WORDS, PREFIXES):
                await calls.run(lambda client, path=path: client.delete_payload_index(name, path))  # type: ignore[misc]
            await calls.close()

    yield open_collection, make_old
    for store in opened:
        await store.close()


def _without_what_was_added(point: models.Record) -> models.PointStruct:
    payload = {field: value for field, value in (point.payload or {}).items() if field not in ADDED}
    vector: dict[str, list[float]] = point.vector  # type: ignore[assignment]
    return models.PointStruct(id=point.id, vector=vector, payload=payload)


async def found(store: VectorStore, text: str) -> list[str]:
    return sorted(match.image_id for match in await store.query(KeywordQuery(text), top_k=1000))


async def brought_up_to_date(store: VectorStore) -> int:
    changed = 0
    while step := await store.backfill():
        changed += step
    return changed


async def test_images_of_an_earlier_version_are_found_after_the_backfill(
    collection: tuple[Open, MakeOld],
) -> None:
    open_collection, make_old = collection
    store = await open_collection("english")
    number = BACKFILL_BATCH + 5
    metadata: list[Metadata] = [{"tags": ["sun"]} if i % 2 else {"big": 2**63, "deep": i} for i in range(number)]
    await store.upsert([(record(f"{i}", metadata[i]), towards(i)) for i in range(number)])
    await make_old()

    store = await open_collection("english")
    assert await found(store, "sun") == []
    await store.upsert([(record("new", {"tags": ["sun"]}), towards(0))])
    assert await found(store, "sun") == ["new"]

    assert await brought_up_to_date(store) == number
    assert await found(store, "sun") == sorted(["new", *(f"{i}" for i in range(number) if i % 2)])
    assert await store.get("2") == record("2", metadata[2])
    assert await brought_up_to_date(store) == 0


async def test_what_is_changed_before_the_backfill_stays_changed(
    collection: tuple[Open, MakeOld],
) -> None:
    open_collection, make_old = collection
    store = await open_collection("english")
    await store.upsert([(record("a", {"tags": ["sun"]}), towards(0)), (record("b", {"tags": ["sun"]}), towards(0))])
    await make_old()

    store = await open_collection("english")
    for metadata in ({"tags": ["stars"]}, {"tags": ["moon"]}):
        before = await read(store, "a")
        assert (before.revision is None) == (metadata == {"tags": ["stars"]})
        assert await store.set_metadata(before, metadata)
        assert not await store.set_metadata(before, {"tags": ["sun"]})
    assert await brought_up_to_date(store) == 1
    assert await found(store, "sun") == ["b"]
    assert await found(store, "moon") == ["a"]


async def test_another_language_takes_effect_when_the_collection_is_opened(
    collection: tuple[Open, MakeOld],
) -> None:
    open_collection, _ = collection
    store = await open_collection("english")
    await store.upsert([(record("a", {"description": "die spielenden Hunde"}), towards(0))])
    assert await found(store, "die") == ["a"]
    assert await found(store, "spielendem") == []

    store = await open_collection("german")
    assert await found(store, "spielendem") == ["a"]
    assert await found(store, "die") == []

    store = await open_collection("none")
    assert await found(store, "spielendem") == []
    assert await found(store, "die") == ["a"]


@pytest.mark.parametrize("language", ["armenian", "tamil", "russian", "turkish", "norwegian"])
async def test_every_kind_of_language_is_known(collection: tuple[Open, MakeOld], language: str) -> None:
    open_collection, _ = collection
    store = await open_collection(language)
    await store.upsert([(record("a", {"tags": ["собаки", "kedi"]}), towards(0))])

    assert await found(store, "kedi") == ["a"]


@pytest.fixture
def old_qdrant(tmp_path: Path) -> Iterator[QdrantProcess]:
    process = QdrantProcess(tmp_path, version="1.19.1")
    process.start()
    yield process
    process.stop()


@pytest.mark.parametrize("grpc", [False, True])
async def test_a_server_that_cannot_rank_by_words_does_all_else_and_says_so(
    old_qdrant: QdrantProcess, grpc: bool
) -> None:
    store = await ServerStore.open(ServerConfig("photos", old_qdrant.connection(grpc=grpc)), META)
    try:
        await store.upsert([(record("a", {"tags": ["sun"]}), towards(0))])
        assert [match.image_id for match in await store.query(towards(0), top_k=1)] == ["a"]
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"Keyword search needs Qdrant 1\.20 or newer"):
                await store.query(KeywordQuery("sun"), top_k=1)
        assert await store.backfill() == 0
    finally:
        await store.close()
