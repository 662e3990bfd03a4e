"""The stores that the contract is tested on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_similarity.vectors.base import VectorStore
from image_similarity.vectors.embedded import CollectionMeta, EmbeddedStore
from tests.support.records import DIMENSION


@pytest.fixture(scope="module", params=["embedded"])
def collection(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorStore]:
    """A collection named `photos`, of the model `colours`; one a module, for making one takes half a second."""
    match request.param:
        case "embedded":
            folder: Path = tmp_path_factory.mktemp("data") / "photos"
            opened = EmbeddedStore.open(folder, CollectionMeta("colours", DIMENSION))
    yield opened
    asyncio.run(opened.close())


@pytest.fixture
async def store(collection: VectorStore) -> VectorStore:
    """The collection without images, to say all that a test needs to know of it."""
    while (page := await collection.scroll(limit=1000)).records:
        for record in page.records:
            await collection.delete(record.image_id)
    return collection
