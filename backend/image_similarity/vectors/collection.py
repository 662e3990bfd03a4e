"""The model that a collection was made with, for both stores."""

from __future__ import annotations

from dataclasses import dataclass

from image_similarity.domain.errors import ModelMismatch


@dataclass(frozen=True, slots=True)
class CollectionMeta:
    """The model that a collection was made with; written once, when the collection is made."""

    model: str
    dimension: int


@dataclass(frozen=True, slots=True)
class ExistingCollection:
    """A collection that exists."""

    meta: CollectionMeta
    images: int


def mismatch(name: str, *, made_with: CollectionMeta, running: CollectionMeta) -> ModelMismatch:
    """Return the error for a collection made with another model; its message names both models."""
    return ModelMismatch(
        f'The collection "{name}" was made with {made_with.model} ({made_with.dimension} dimensions); this program '
        f"runs {running.model} ({running.dimension}). Set MODEL_NAME={made_with.model}, or choose another "
        "QDRANT_COLLECTION_NAME or DATA_DIR and index the images anew."
    )
