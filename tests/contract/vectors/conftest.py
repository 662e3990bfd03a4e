"""The stores that the contract is tested on."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from qdrant_client import AsyncQdrantClient, models

from image_similarity.vectors.base import VectorStore, point_id
from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.qdrant_edge.store import EmbeddedStore
from image_similarity.vectors.qdrant_server.client import QdrantCalls
from image_similarity.vectors.qdrant_server.nodes import Connection
from image_similarity.vectors.qdrant_server.store import ServerConfig, ServerStore
from tests.support.qdrant_process import QdrantProcess
from tests.support.records import DIMENSION

META = CollectionMeta("colours", DIMENSION)

KINDS = ["embedded", "server-rest", "server-grpc"] + ["qdrant"] * ("TEST_QDRANT_URL" in os.environ)

Open = Callable[[], Awaitable[VectorStore]]
"""Opens the collection, without images: all that a test needs to know of it."""


@pytest.fixture(scope="module", params=KINDS)
def collection(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """Return what opens a collection of the model `colours`; one a module, for making one takes half a second."""
    match request.param:
        case "embedded":
            yield from _embedded(tmp_path_factory)
        case "server-rest" | "server-grpc" as kind:
            qdrant: QdrantProcess = request.getfixturevalue("qdrant")
            yield from _server(qdrant.connection(grpc=kind == "server-grpc"))
        case "qdrant":
            grpc_port = os.environ.get("TEST_QDRANT_GRPC_PORT")
            yield from _server(
                Connection(
                    os.environ["TEST_QDRANT_URL"], prefer_grpc=grpc_port is not None, grpc_port=int(grpc_port or 6334)
                )
            )


@pytest.fixture
async def store(collection: Open) -> AsyncIterator[VectorStore]:
    opened = await collection()
    yield opened
    # Connections belong to the event loop that opened them, and each test has its own.
    if isinstance(opened, ServerStore):
        await opened.close()


def _embedded(folders: pytest.TempPathFactory) -> Iterator[Open]:
    opened = EmbeddedStore.open(folders.mktemp("data") / "photos", META)

    async def reuse() -> VectorStore:
        while (page := await opened.scroll(limit=1000)).records:
            for record in page.records:
                await opened.delete(record.image_id)
        return opened

    yield reuse
    asyncio.run(opened.close())


def _server(connection: Connection) -> Iterator[Open]:
    config = ServerConfig(f"photos-{uuid.uuid4().hex}", connection)

    async def open_empty() -> VectorStore:
        opened = await ServerStore.open(config, META)
        while (page := await opened.scroll(limit=1000)).records:
            # At once: the store itself deletes one image after the other, which takes a minute for some tests.
            ids: list[models.ExtendedPointId] = [point_id(record.image_id) for record in page.records]
            selected = models.FilterSelector(filter=models.Filter(must=[models.HasIdCondition(has_id=ids)]))
            await call(lambda client, them=selected: client.delete(config.name, them, wait=True))
        return opened

    async def call(what: Callable[[AsyncQdrantClient], Awaitable[object]]) -> None:
        calls = QdrantCalls(connection)
        await calls.run(what)
        await calls.close()

    yield open_empty
    asyncio.run(call(lambda client: client.delete_collection(config.name)))
