"""What the tests of the store on a server share."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
from qdrant_client import models

from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.qdrant_server.client import QdrantCalls
from image_similarity.vectors.qdrant_server.store import ServerConfig, ServerStore
from tests.support.qdrant_process import QdrantProcess
from tests.support.records import DIMENSION

META = CollectionMeta("colours", DIMENSION)


@pytest.fixture(params=["rest", "grpc"])
def config(request: pytest.FixtureRequest, qdrant: QdrantProcess) -> ServerConfig:
    return ServerConfig(f"photos-{uuid.uuid4().hex}", qdrant.connection(grpc=request.param == "grpc"))


@pytest.fixture
async def store(config: ServerConfig) -> AsyncIterator[ServerStore]:
    opened = await ServerStore.open(config, META)
    yield opened
    await opened.close()


async def raw(config: ServerConfig) -> models.CollectionInfo:
    calls = QdrantCalls(config.connection)
    try:
        return await calls.run(lambda client: client.get_collection(config.name))
    finally:
        await calls.close()
