"""Recommendations for the operator about the collection."""

from __future__ import annotations

from image_similarity.vectors.base import CollectionInfo

EXACT_SEARCH_LIMIT = 200_000
"""Up to so many images without a graph, exact search is fast enough (15 ms)."""


def recommend(collection: CollectionInfo) -> list[str]:
    """Return one sentence per recommendation; usually none."""
    advice = []
    exact = collection.images - collection.indexed_vectors
    if not collection.builds_graph and exact > EXACT_SEARCH_LIMIT:
        advice.append(
            f"{exact} images are searched one by one; stop the server and run `image-similarity optimize` to build the "
            "search graph."
        )
    placement = collection.placement
    if placement is not None and (placement.shards_short or placement.shards_over):
        advice.append(
            f"{placement.copies_active} of {placement.copies_wanted} copies of shards are active: "
            f"{placement.shards_short} of {placement.shards} shards have too few, {placement.shards_over} too many; "
            "`image-similarity shards` shows where they are, with --balance it brings them to where they should be."
        )
    return advice
