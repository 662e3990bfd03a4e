"""What a collection was made with, wherever it lies."""

from __future__ import annotations

from dataclasses import dataclass

from image_similarity.domain.errors import ModelMismatch


@dataclass(frozen=True, slots=True)
class CollectionMeta:
    """What a collection was made with; written once, with the collection."""

    model: str
    dimension: int


@dataclass(frozen=True, slots=True)
class ExistingCollection:
    """A collection that is there."""

    meta: CollectionMeta
    images: int


def mismatch(name: str, *, made_with: CollectionMeta, running: CollectionMeta) -> ModelMismatch:
    """Return the error for a collection that another model made; it names both."""
    return ModelMismatch(
        f'The collection "{name}" was made with {made_with.model} ({made_with.dimension} dimensions); this program '
        f"runs {running.model} ({running.dimension}). Set MODEL_NAME={made_with.model}, or choose another "
        "QDRANT_COLLECTION_NAME or DATA_DIR and index the images anew."
    )
