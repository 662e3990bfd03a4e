"""The vector store in this process: Qdrant's engine as a library (Qdrant Edge), on a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from image_similarity.domain.filters import Condition
from image_similarity.domain.records import Embedding, ImageRecord, Match, Metadata, Page, Tagging
from image_similarity.vectors.base import Batch, CollectionInfo, IndexedFacet, StoreQuery, is_cosine, point_id
from image_similarity.vectors.collection import CollectionMeta, ExistingCollection
from image_similarity.vectors.cursor import Cursor, page_of
from image_similarity.vectors.examples import lowest_score, scale_of
from image_similarity.vectors.facets import indexed_facets
from image_similarity.vectors.filters import after_cursor_filter, content_filter, query_filter, unchanged_since_filter
from image_similarity.vectors.payload import match_fields, metadata_field, metadata_fields, to_match, to_record
from image_similarity.vectors.qdrant_edge.facets import EdgeFacets
from image_similarity.vectors.qdrant_edge.field_indexes import FieldIndexes
from image_similarity.vectors.qdrant_edge.filters import EdgeFilterBuilder, to_point, to_vector
from image_similarity.vectors.qdrant_edge.folder import count_images, read_meta
from image_similarity.vectors.qdrant_edge.folder_lock import FolderLock
from image_similarity.vectors.qdrant_edge.keywords import backfill
from image_similarity.vectors.qdrant_edge.live_shard import LiveShard
from image_similarity.vectors.qdrant_edge.opening import open_shard
from image_similarity.vectors.qdrant_edge.payloads import with_payloads
from image_similarity.vectors.qdrant_edge.queries import edge_ranking
from image_similarity.vectors.qdrant_edge.room import GROWTH, SHRINKAGE, taken

_SEARCH_EF = 128
"""Candidates that HNSW keeps during a search; Qdrant's default is ef_construct (100)."""

_TERMS = EdgeFilterBuilder()


def inspect_collection(folder: Path, lock: FolderLock | None = None) -> ExistingCollection | None:
    """Return model and size of the collection in `folder`, or None if there is none.

    A caller that holds the folder's `lock` passes it. Raises FolderInUse if another process has the folder open,
    StoreUnavailable if its files cannot be read.
    """
    if not folder.exists():
        return None
    with ExitStack() as locked:
        if lock is None:
            locked.callback(FolderLock.take(folder).release)
        meta = read_meta(folder)
        return None if meta is None else ExistingCollection(meta, count_images(folder))


class EmbeddedStore:
    """One shard in one folder; implements `VectorStore`."""

    def __init__(self, name: str, meta: CollectionMeta, shard: LiveShard, lock: FolderLock) -> None:
        self._name = name
        self._meta = meta
        self._shard = shard
        self._lock = lock
        self.field_indexes = FieldIndexes(shard.grow)

    @classmethod
    def open(
        cls,
        folder: Path,
        meta: CollectionMeta,
        *,
        language: str = "english",
        lock: FolderLock | None = None,
        on_flush_failure: Callable[[], object] = lambda: None,
        durable: bool = True,
    ) -> EmbeddedStore:
        """Open the collection in `folder`, or make it; `language` is that of its keywords (see `keywords.Language`).

        The store takes over a `lock` that the caller holds, and releases it when the store is closed or cannot be
        opened. `on_flush_failure` is called in another thread for each flush that fails. A `durable` store
        acknowledges a write only when a power cut cannot lose it.

        Raises ModelMismatch if it was made with another model, FolderInUse if another process has it open,
        StoreUnavailable if its files cannot be read.
        """
        lock = lock or FolderLock.take(folder)
        try:
            shard = open_shard(folder, meta, language)
        except BaseException:
            lock.release()
            raise
        return cls(folder.name, meta, LiveShard(folder, shard, on_flush_failure, durable=durable), lock)

    async def upsert(self, points: Sequence[tuple[ImageRecord, Embedding]]) -> None:
        """Write records with their vectors; see `VectorStore`."""
        operation = edge.UpdateOperation.upsert_points([to_point(*point) for point in points])
        await self._shard.write(lambda shard: shard.update(operation))

    async def put(self, record: ImageRecord, vector: Embedding, before: ImageRecord | None) -> bool:  # noqa: ARG002
        """Write one record; see `VectorStore`. In one process no other write can come in between or land late."""
        await self.upsert([(record, vector)])
        return True

    async def set_metadata(self, before: ImageRecord, metadata: Metadata, tagging: Tagging | None = None) -> bool:
        """Replace the metadata; see `VectorStore`."""
        unchanged = edge.CountRequest(exact=True, filter=unchanged_since_filter(before, _TERMS))
        operation = edge.UpdateOperation.set_payload([point_id(before.image_id)], metadata_fields(metadata, tagging))

        def change(shard: edge.EdgeShard) -> bool:
            # No write can come in between: one thread makes all calls, and one process has the folder.
            found = shard.count(unchanged) == 1
            if found:
                shard.update(operation)
            return found

        return await self._shard.write(change)

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
        filtered = query_filter(condition, exclude, _TERMS)
        ranking = edge_ranking(wanted, top_k, filtered, edge.SearchParams(hnsw_ef=_SEARCH_EF))
        request = edge.QueryRequest(
            limit=top_k,
            prefetches=ranking.prefetches,
            query=ranking.query,
            filter=ranking.filter,
            score_threshold=lowest_score(threshold, wanted),
            with_payload=False,
            params=ranking.params,
        )
        scale, cosine = scale_of(wanted), is_cosine(wanted)
        fields, read = match_fields(with_metadata=with_metadata, field=field), with_metadata or field is not None

        def match(point: edge.ScoredPoint, payload: dict[str, Any]) -> Match:
            return to_match(payload, point.score / scale, with_metadata=read, cosine=cosine)

        found = await with_payloads(self._shard.run, lambda shard: shard.query(request), match, fields)
        if condition is not None:
            self.field_indexes.want(condition)
        return found

    async def backfill(self) -> int:
        """Update some points of an earlier version; see `VectorStore`."""
        return await self._shard.write(backfill)

    async def get(self, image_id: str) -> ImageRecord | None:
        """Return one record; see `VectorStore`."""
        return (await self.get_many([image_id])).get(image_id)

    async def get_many(self, image_ids: Sequence[str]) -> dict[str, ImageRecord]:
        """Return the records of indexed images; see `VectorStore`."""
        ids: list[Any] = [point_id(image_id) for image_id in image_ids]
        records = await with_payloads(
            self._shard.run, lambda shard: shard.retrieve(ids, with_payload=False, with_vector=False), _record
        )
        return {record.image_id: record for record in records}

    async def get_vector(self, image_id: str) -> Embedding | None:
        """Return one embedding; see `VectorStore`."""
        return (await self.get_vectors([image_id])).get(image_id)

    async def get_vectors(self, image_ids: Sequence[str]) -> dict[str, Embedding]:
        """Return the embeddings of indexed images; see `VectorStore`."""
        names = {point_id(image_id): image_id for image_id in image_ids}
        ids: list[Any] = [*names]

        def read(shard: edge.EdgeShard) -> dict[str, Embedding]:
            found = shard.retrieve(ids, with_payload=False, with_vector=True)
            return {names[str(point.id)]: to_vector(point) for point in found}

        return await self._shard.run(read)

    async def scroll(self, *, limit: int, cursor: str | None = None) -> Page:
        """Return a page, newest first; see `VectorStore`."""
        start = Cursor.decode(cursor) if cursor is not None else None
        request = edge.ScrollRequest(
            # One more than the page shows whether there is a next page.
            limit=limit + 1,
            filter=after_cursor_filter(start, _TERMS) if start else None,
            order_by=edge.OrderBy("indexed_at", direction=edge.Direction.Desc),
            with_payload=False,
        )
        records = await with_payloads(self._shard.run, lambda shard: shard.scroll(request)[0], _record)
        return page_of(records, limit, start)

    async def export(self, *, after: str | None, limit: int) -> Batch:
        """Return records with their vectors; see `VectorStore`."""
        request = edge.ScrollRequest(offset=after, limit=limit, with_payload=False, with_vector=True)
        following: Any = None

        def find(shard: edge.EdgeShard) -> Sequence[edge.Record]:
            nonlocal following
            points, following = shard.scroll(request)
            return points

        def pair(point: edge.Record, payload: dict[str, Any]) -> tuple[ImageRecord, Embedding]:
            return to_record(payload), to_vector(point)

        points = await with_payloads(self._shard.run, find, pair)
        return Batch(points, after=None if following is None else str(following))

    async def sample(self, limit: int) -> list[Embedding]:
        """Return some embeddings; see `VectorStore`."""
        request = edge.ScrollRequest(limit=limit, with_payload=False, with_vector=True)
        return await self._shard.run(lambda shard: [to_vector(point) for point in shard.scroll(request)[0]])

    async def indexed_facets(self, *, values: int) -> list[IndexedFacet]:
        """Return the indexed metadata fields; see `VectorStore`."""
        queries = EdgeFacets(self._shard.run)
        return await indexed_facets(await queries.indexes(), queries, values=values)

    async def delete(self, image_id: str, *, revision: str | None = None) -> ImageRecord | None:
        """Delete one image; see `VectorStore`."""
        ids: list[Any] = [point_id(image_id)]

        def remove(shard: edge.EdgeShard) -> list[edge.Record]:
            there = shard.retrieve(ids, with_payload=True, with_vector=False)
            found = [point for point in there if revision in (None, to_record(point.payload).revision)]
            if found:
                shard.update(edge.UpdateOperation.delete_points(ids))
            return found

        found = await self._shard.write(remove, SHRINKAGE)
        return to_record(found[0].payload) if found else None

    async def count_content(self, sha256: str) -> int:
        """Count the records of one content; see `VectorStore`."""
        request = edge.CountRequest(exact=True, filter=content_filter(sha256, _TERMS))
        return await self._shard.run(lambda shard: shard.count(request))

    async def check(self) -> None:
        """Raise StoreUnavailable if the shard fails or cannot be flushed; see `VectorStore`."""
        await self._shard.check()

    async def info(self, *, exact: bool = False) -> CollectionInfo:  # noqa: ARG002
        """Return the state of the collection, always exact; see `VectorStore`."""
        state = await self._shard.run(lambda shard: shard.info())
        return CollectionInfo(
            name=self._name,
            model=self._meta.model,
            dimension=self._meta.dimension,
            images=state.points_count,
            indexed_vectors=state.indexed_vectors_count,
            field_indexes=tuple(sorted({field for path in state.payload_schema if (field := metadata_field(path))})),
        )

    async def close(self) -> None:
        """Flush and close the shard, so that another process can open it; closing twice is harmless.

        Raises StoreUnavailable if the latest writes may be lost.
        """
        await self.field_indexes.close()
        try:
            await self._shard.close()
        finally:
            self._lock.release()

    async def optimize(self) -> bool:
        """Build the HNSW graph and drop deleted points; return False if there was nothing to do.

        Blocks the whole interpreter (20 s for 50,000 vectors), so never call it in a running server.
        """
        # The old files stay until their copies are complete.
        done = await self._shard.grow(lambda shard: shard.optimize(), GROWTH + taken(self._shard.folder))
        await self._shard.run(lambda shard: shard.flush())
        return done


def _record(_: edge.Record, payload: dict[str, Any]) -> ImageRecord:
    return to_record(payload)
