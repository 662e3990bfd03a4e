"""Records and vectors for the tests of the stores."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np

from image_similarity.domain.records import Embedding, ImageRecord, Metadata
from image_similarity.vectors.base import VectorStore

DIMENSION = 8
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)


def record(image_id: str, metadata: Metadata | None = None, *, minute: float = 0, content: str = "") -> ImageRecord:
    """Make a record that was indexed so many minutes after `EPOCH`; its content is its id, unless given."""
    return ImageRecord(
        image_id=image_id,
        sha256=hashlib.sha256((content or image_id).encode()).hexdigest(),
        width=640,
        height=480,
        format="JPEG",
        indexed_at=EPOCH + timedelta(minutes=minute),
        metadata=metadata or {},
    )


async def read(store: VectorStore, image_id: str) -> ImageRecord:
    """Return the record of an image that must be there."""
    found = await store.get(image_id)
    assert found is not None
    return found


def towards(angle: float) -> Embedding:
    """Return the unit vector at an angle in degrees; the cosine of two is that of the angle between them."""
    vector = np.zeros(DIMENSION, dtype=np.float32)
    vector[:2] = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return vector
