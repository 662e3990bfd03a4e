"""Makes indexes on a Qdrant server for the metadata fields that searches filter on."""

from __future__ import annotations

from cachetools import TTLCache
from qdrant_client import models

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.domain.filters import Condition
from image_similarity.telemetry.logging import get_logger
from image_similarity.vectors.filters import MAX_FIELD_INDEXES, index_room, missing_indexes
from image_similarity.vectors.qdrant_server.client import QdrantCalls
from image_similarity.vectors.qdrant_server.collection import create_index
from image_similarity.vectors.qdrant_server.filters import QdrantFilterBuilder

RECHECK = 60.0
"""Seconds until a field that no image had is checked again."""

_TERMS = QdrantFilterBuilder()


class FieldIndexes:
    """The field indexes of one collection."""

    def __init__(self, calls: QdrantCalls, collection: str) -> None:
        self._calls = calls
        self._collection = collection
        self._present: set[str] = set()
        # Bounded, because any caller may filter on any field.
        self._looked_for: TTLCache[str, None] = TTLCache(maxsize=1024, ttl=RECHECK)

    async def ensure(self, condition: Condition) -> None:
        """Make indexes for fields that images have. A failure is only logged: the search is slower without them.

        Raises StoreUnavailable if the collection cannot be read: the search would only wait for it again.
        """
        missing = missing_indexes(condition, self._present)
        if all(path in self._looked_for for path in missing):
            return
        state = await self._calls.run(lambda client: client.get_collection(self._collection))
        self._present = set(state.payload_schema)
        try:
            room = index_room(self._present, MAX_FIELD_INDEXES)
            for path, kind in missing_indexes(condition, self._present).items():
                self._looked_for[path] = None
                if room > 0 and await self._is_used(path):
                    # Do not wait: with a million images it takes longer than a search may.
                    await create_index(self._calls, self._collection, path, kind, wait=False)
                    self._present.add(path)
                    room -= 1
        except StoreUnavailable as error:
            get_logger().warning("field_index_failed", error=str(error))

    async def _is_used(self, path: str) -> bool:
        used = models.Filter(must_not=[_TERMS.is_empty(path)])
        points, _ = await self._calls.run(
            lambda client: client.scroll(self._collection, scroll_filter=used, limit=1, with_payload=False)
        )
        return bool(points)
