"""The queries of `vectors/facets.py` to a Qdrant server."""

from __future__ import annotations

from typing import Any

from qdrant_client import models

from image_similarity.vectors.facets import Index
from image_similarity.vectors.qdrant_server.client import QdrantCalls
from image_similarity.vectors.qdrant_server.collection import INDEX_TYPES


class QdrantFacets:
    """Implements `FacetQueries`."""

    def __init__(self, calls: QdrantCalls, name: str) -> None:
        self._calls = calls
        self._name = name

    async def indexes(self) -> dict[str, Index]:
        """Return the indexes by payload path, without those of types that this program never makes."""
        kinds = {data_type: kind for kind, data_type in INDEX_TYPES.items()}
        state = await self._calls.run(lambda client: client.get_collection(self._name))
        return {
            path: Index(kinds[index.data_type], index.points)
            for path, index in state.payload_schema.items()
            if index.data_type in kinds
        }

    async def texts(self, path: str, limit: int) -> list[tuple[str, int]]:
        """Combine the most frequent values of every shard, which is quick but not exact; see `FacetQueries`."""
        answer = await self._calls.run(lambda client: client.facet(self._name, key=path, limit=limit))
        return [(str(hit.value), hit.count) for hit in answer.hits]

    async def ends(self, path: str) -> list[dict[str, Any]]:
        """Return the payloads of the first point in ascending and in descending order."""
        ends = [await self._first(path, direction) for direction in (models.Direction.ASC, models.Direction.DESC)]
        return [point.payload or {} for points in ends for point in points]

    async def _first(self, path: str, direction: models.Direction) -> list[models.Record]:
        order = models.OrderBy(key=path, direction=direction)
        points, _ = await self._calls.run(
            lambda client: client.scroll(self._name, limit=1, order_by=order, with_payload=True)
        )
        return points
