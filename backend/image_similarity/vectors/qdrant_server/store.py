"""The vector store on a Qdrant server or cluster, shared by any number of processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qdrant_client import models

from image_similarity.domain.filters import Condition
from image_similarity.domain.records import Embedding, ImageRecord, Match, Metadata, Page, Tagging
from image_similarity.vectors.base import (
    Batch,
    CollectionInfo,
    IndexedFacet,
    StoreQuery,
    WriteNotes,
    is_cosine,
    point_id,
)
from image_similarity.vectors.collection import CollectionMeta, ExistingCollection
from image_similarity.vectors.cursor import Cursor, page_of
from image_similarity.vectors.examples import lowest_score, scale_of
from image_similarity.vectors.facets import indexed_facets
from image_similarity.vectors.filters import after_cursor_filter, content_filter, query_filter
from image_similarity.vectors.payload import (
    VECTOR,
    match_fields,
    metadata_field,
    payload_metadata,
    payload_path,
    to_match,
    to_record,
)
from image_similarity.vectors.qdrant_server.client import QdrantCalls
from image_similarity.vectors.qdrant_server.collection import CollectionConfig, ensure, find
from image_similarity.vectors.qdrant_server.facets import QdrantFacets
from image_similarity.vectors.qdrant_server.field_indexes import FieldIndexes
from image_similarity.vectors.qdrant_server.filters import QdrantFilterBuilder, to_vector
from image_similarity.vectors.qdrant_server.keywords import TextIndexes
from image_similarity.vectors.qdrant_server.nodes import Connection
from image_similarity.vectors.qdrant_server.placement import read
from image_similarity.vectors.qdrant_server.placement_watch import PlacementWatch
from image_similarity.vectors.qdrant_server.queries import qdrant_ranking
from image_similarity.vectors.qdrant_server.writes import NoNotes, QdrantWrites

_TERMS = QdrantFilterBuilder()

FIELDS_AT_ONCE = 256
"""Images per call that reads one field of the metadata; at 64 KiB each, that is 16 MiB."""


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """Settings for the cost and precision of a search."""

    hnsw_ef: int = 128
    """Candidates that HNSW keeps during a search."""
    rescore: bool = True
    """Compare the best candidates of a quantized search by their original vectors."""
    oversampling: float = 2.0
    """Candidates that are rescored, as a multiple of `top_k`."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Settings of `ServerStore`."""

    name: str
    """Name of the collection."""
    connection: Connection
    layout: CollectionConfig = field(default_factory=CollectionConfig)
    searching: SearchConfig = field(default_factory=SearchConfig)
    language: str = "english"
    """Language of the keywords; see `keywords.Language`."""


async def inspect_collection(config: ServerConfig) -> ExistingCollection | None:
    """Return model and size of the collection, or None if there is none.

    Raises ModelMismatch if another program made it, and StoreUnavailable.
    """
    calls = QdrantCalls(config.connection, config.name)
    try:
        found = await find(calls, config.name)
        if found is None:
            return None
        counted = await calls.run(lambda client: client.count(config.name, exact=True))
        return ExistingCollection(found[0], counted.count)
    finally:
        await calls.close()


class ServerStore:
    """Implements `VectorStore`; use `open` to make one."""

    def __init__(
        self, config: ServerConfig, meta: CollectionMeta, calls: QdrantCalls, notes: WriteNotes | None = None
    ) -> None:
        self._name = config.name
        self._meta = meta
        self._calls = calls
        self._params = _search_params(config)
        self._writes = QdrantWrites(calls, config.name, notes or NoNotes())
        self._texts = TextIndexes(calls, config.name, config.language)
        self._fields = FieldIndexes(calls, config.name)
        self._placement = PlacementWatch(lambda wanted: read(calls, config.name, wanted))

    @classmethod
    async def open(cls, config: ServerConfig, meta: CollectionMeta, notes: WriteNotes | None = None) -> ServerStore:
        """Connect to the collection, or make it; any number of processes may call this at once.

        Raises ModelMismatch if it was made with another model, even if it is empty, and StoreUnavailable.
        """
        store = cls(config, meta, calls := QdrantCalls(config.connection, config.name), notes)
        try:
            await ensure(calls, config.name, meta, config.layout)
            await store._texts.try_to_ensure()
        except BaseException:
            await calls.close()
            raise
        return store

    async def upsert(self, points: Sequence[tuple[ImageRecord, Embedding]]) -> None:
        """Write records with their vectors; see `VectorStore`."""
        await self._writes.upsert(points)

    async def put(self, record: ImageRecord, vector: Embedding, before: ImageRecord | None) -> bool:
        """Write one record, and check that it was stored; see `VectorStore`."""
        return await self._writes.put(record, vector, before)

    async def set_metadata(self, before: ImageRecord, metadata: Metadata, tagging: Tagging | None = None) -> bool:
        """Replace the metadata, and check that it was stored; see `VectorStore`."""
        return await self._writes.set_metadata(before, metadata, tagging)

    async def query(
        self,
        wanted: StoreQuery,
        *,
        top_k: int,
        threshold: float | None = None,
        condition: Condition | None = None,
        with_metadata: bool = True,
        field: str | None = None,
        exclude: Sequence[str] = (),
    ) -> list[Match]:
        """Return the nearest images; see `VectorStore`."""
        if not is_cosine(wanted):
            await self._texts.ensure()
        if condition is not None:
            await self._fields.ensure(condition)
        # One field may be as large as all metadata of an image, so read it in parts.
        apart = field is not None and top_k > FIELDS_AT_ONCE
        fields = match_fields(with_metadata=with_metadata and not apart, field=None if apart else field)
        ranking = qdrant_ranking(wanted, top_k, query_filter(condition, exclude, _TERMS), self._params)
        found = await self._calls.run(
            lambda client: client.query_points(
                self._name,
                prefetch=ranking.prefetch,
                query=ranking.query,
                using=ranking.using,
                limit=top_k,
                query_filter=ranking.filter,
                score_threshold=lowest_score(threshold, wanted),
                with_payload=fields,
                search_params=ranking.params,
            )
        )
        scale, cosine = scale_of(wanted), is_cosine(wanted)
        read = not apart and (with_metadata or field is not None)
        matches = [
            to_match(point.payload, point.score / scale, with_metadata=read, cosine=cosine) for point in found.points
        ]
        return matches if field is None or not apart else await self._with_field(matches, field)

    async def _with_field(self, matches: Sequence[Match], field: str) -> list[Match]:
        """Return the matches with one field of their metadata."""
        values: dict[str, Metadata] = {}
        for start in range(0, len(matches), FIELDS_AT_ONCE):
            ids: list[Any] = [point_id(match.image_id) for match in matches[start : start + FIELDS_AT_ONCE]]
            found = await self._calls.run(
                lambda client, ids=ids: client.retrieve(self._name, ids, with_payload=[payload_path(field)])  # type: ignore[misc]
            )
            values |= {str(point.id): payload_metadata(point.payload or {}) for point in found}
        return [replace(match, metadata=values.get(point_id(match.image_id), {})) for match in matches]

    async def backfill(self) -> int:
        """Update some points of an earlier version; see `VectorStore`."""
        return await self._texts.backfill()

    async def get(self, image_id: str) -> ImageRecord | None:
        """Return one record; see `VectorStore`."""
        return (await self.get_many([image_id])).get(image_id)

    async def get_many(self, image_ids: Sequence[str]) -> dict[str, ImageRecord]:
        """Return the records of indexed images; see `VectorStore`."""
        ids: list[Any] = [point_id(image_id) for image_id in image_ids]
        found = await self._calls.run(lambda client: client.retrieve(self._name, ids, with_payload=True))
        return {record.image_id: record for record in (to_record(point.payload) for point in found)}

    async def get_vector(self, image_id: str) -> Embedding | None:
        """Return one embedding; see `VectorStore`."""
        return (await self.get_vectors([image_id])).get(image_id)

    async def get_vectors(self, image_ids: Sequence[str]) -> dict[str, Embedding]:
        """Return the embeddings of indexed images; see `VectorStore`."""
        names = {point_id(image_id): image_id for image_id in image_ids}
        ids: list[Any] = [*names]
        found = await self._calls.run(
            lambda client: client.retrieve(self._name, ids, with_payload=False, with_vectors=[VECTOR])
        )
        return {names[str(point.id)]: to_vector(point) for point in found}

    async def scroll(self, *, limit: int, cursor: str | None = None) -> Page:
        """Return a page, newest first; see `VectorStore`."""
        start = Cursor.decode(cursor) if cursor is not None else None
        points, _ = await self._calls.run(
            lambda client: client.scroll(
                self._name,
                # One more than the page shows whether there is a next page.
                limit=limit + 1,
                scroll_filter=after_cursor_filter(start, _TERMS) if start else None,
                order_by=models.OrderBy(key="indexed_at", direction=models.Direction.DESC),
                with_payload=True,
            )
        )
        records = [to_record(point.payload) for point in points]
        return page_of(records, limit, start)

    async def export(self, *, after: str | None, limit: int) -> Batch:
        """Return records with their vectors; see `VectorStore`."""
        points, following = await self._calls.run(
            lambda client: client.scroll(
                self._name, offset=after, limit=limit, with_payload=True, with_vectors=[VECTOR]
            )
        )
        return Batch(
            [(to_record(point.payload), to_vector(point)) for point in points],
            after=None if following is None else str(following),
        )

    async def sample(self, limit: int) -> list[Embedding]:
        """Return some embeddings; see `VectorStore`."""
        points, _ = await self._calls.run(
            lambda client: client.scroll(self._name, limit=limit, with_payload=False, with_vectors=[VECTOR])
        )
        return [to_vector(point) for point in points]

    async def indexed_facets(self, *, values: int) -> list[IndexedFacet]:
        """Return the indexed metadata fields; see `VectorStore`."""
        queries = QdrantFacets(self._calls, self._name)
        return await indexed_facets(await queries.indexes(), queries, values=values)

    async def delete(self, image_id: str, *, revision: str | None = None) -> ImageRecord | None:
        """Delete one image, and check that it is gone; see `VectorStore`."""
        return await self._writes.delete(image_id, revision)

    async def count_content(self, sha256: str) -> int:
        """Count the records of one content; see `VectorStore`."""
        same = content_filter(sha256, _TERMS)
        return (await self._calls.run(lambda client: client.count(self._name, same, exact=True))).count

    async def check(self) -> None:
        """Let every shard estimate its size, which costs almost nothing; see `VectorStore`."""
        await self._calls.run(lambda client: client.count(self._name, exact=False))

    async def info(self, *, exact: bool = False) -> CollectionInfo:
        """Return the state of the collection; see `VectorStore`."""
        state = await self._calls.run(lambda client: client.get_collection(self._name))
        counted = await self._calls.run(lambda client: client.count(self._name, exact=True)) if exact else None
        fields = {name for path in state.payload_schema if (name := metadata_field(path))}
        return CollectionInfo(
            name=self._name,
            model=self._meta.model,
            dimension=self._meta.dimension,
            images=state.points_count or 0 if counted is None else counted.count,
            indexed_vectors=state.indexed_vectors_count or 0,
            field_indexes=tuple(sorted(fields)),
            builds_graph=True,
            placement=await self._placement.summary(state.config.params.replication_factor or 1),
        )

    async def close(self) -> None:
        """Close the connections; closing twice is harmless."""
        await self._placement.close()
        await self._calls.close()


def _search_params(config: ServerConfig) -> models.SearchParams:
    wanted = config.searching
    quantization = models.QuantizationSearchParams(rescore=wanted.rescore, oversampling=wanted.oversampling)
    return models.SearchParams(hnsw_ef=wanted.hnsw_ef, quantization=quantization if config.layout.quantize else None)
