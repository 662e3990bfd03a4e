"""The queries of `vectors/facets.py` to Qdrant Edge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from operator import methodcaller
from typing import Any

import qdrant_edge as edge

from image_similarity.vectors.facets import Index
from image_similarity.vectors.qdrant_edge.filters import INDEX_TYPES

Run = Callable[[Callable[[edge.EdgeShard], Any]], Awaitable[Any]]
"""Calls the shard in its thread."""


class EdgeFacets:
    """Implements `FacetQueries`; runs each query as a separate call, so that searches can run in between."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def indexes(self) -> dict[str, Index]:
        """Return the indexes by value: payload path to index."""
        kinds = {data_type: kind for kind, data_type in INDEX_TYPES.items()}
        state = await self._run(lambda shard: shard.info())
        return {
            path: Index(kinds[index.data_type], index.points)
            for path, index in state.payload_schema.items()
            if index.data_type in kinds
        }

    async def texts(self, path: str, limit: int) -> list[tuple[str, int]]:
        """Count by the index: 2 ms for 50,000 texts of 100,000 images; an exact count takes 0.6 s."""
        answer = await self._run(lambda shard: shard.facet(edge.FacetRequest(path, limit=limit)))
        return [(str(hit.value), hit.count) for hit in answer.hits]

    async def ends(self, path: str) -> list[dict[str, Any]]:
        """Return the payloads of the first point in ascending and in descending order."""
        payloads: list[dict[str, Any]] = []
        for direction in (edge.Direction.Asc, edge.Direction.Desc):
            order = edge.OrderBy(path, direction=direction)
            first = methodcaller("scroll", edge.ScrollRequest(limit=1, order_by=order, with_payload=True))
            points, _ = await self._run(first)
            payloads += [point.payload or {} for point in points]
        return payloads
