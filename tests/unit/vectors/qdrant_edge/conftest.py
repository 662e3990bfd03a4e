"""What the tests of the store in this process share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from image_similarity.domain.filters import parse_filter
from image_similarity.vectors.qdrant_edge.store import CollectionMeta, EmbeddedStore
from tests.support.records import DIMENSION, towards

META = CollectionMeta("colours", DIMENSION)


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[EmbeddedStore]:
    opened = EmbeddedStore.open(folder, META)
    yield opened
    await opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "collections" / "photos"


async def found(store: EmbeddedStore, raw: dict[str, object]) -> list[str]:
    matches = await store.query(towards(0), top_k=10, condition=parse_filter(raw))
    await store.field_indexes.settled()
    return [match.image_id for match in matches]
