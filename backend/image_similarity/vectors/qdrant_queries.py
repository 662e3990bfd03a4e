"""What a store can be asked for, in the Qdrant client's words."""

from __future__ import annotations

from image_similarity.vectors.base import Wanted


def qdrant_query(wanted: Wanted) -> list[float]:
    """Return what is wanted as a query."""
    vector: list[float] = wanted.tolist()
    return vector
