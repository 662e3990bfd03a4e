"""The vector store in this process: Qdrant's own engine (Qdrant Edge) on a folder."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import orjson
import qdrant_edge as edge

from image_similarity.domain import Condition, Embedding, ImageRecord, Match, Metadata, Page, StoreUnavailable, Tagging
from image_similarity.vectors.base import Batch, CollectionInfo, IndexedFacet, Wanted, is_cosine, point_id
from image_similarity.vectors.collection import CollectionMeta, Found, mismatch
from image_similarity.vectors.conditions import as_read, behind, of_content, query_filter
from image_similarity.vectors.cursor import Cursor
from image_similarity.vectors.edge_facets import EdgeFacets
from image_similarity.vectors.edge_folder import create, load
from image_similarity.vectors.edge_indexes import ensure_field_indexes
from image_similarity.vectors.edge_keywords import backfill, ensure_text_indexes
from image_similarity.vectors.edge_queries import edge_ranking
from image_similarity.vectors.edge_terms import EdgeTerms, to_point, to_vector
from image_similarity.vectors.examples import lowest_score, scale_of
from image_similarity.vectors.facets import indexed_facets
from image_similarity.vectors.payload import match_fields, metadata_field, metadata_fields, to_match, to_record

T = TypeVar("T")

FLUSH_SECONDS = 5.0
"""A killed process loses nothing that was acknowledged (the log is in the page cache); a power cut at most this."""

_SEARCH_EF = 128
"""Candidates that HNSW keeps while it searches; Qdrant's own default follows ef_construct (100)."""

_TERMS = EdgeTerms()


def peek(folder: Path) -> Found | None:
    """Look into the collection in `folder`, or return None where there is none.

    Raises StoreLocked where another process has it open, StoreUnavailable where its files cannot be read.
    """
    try:
        meta = CollectionMeta(**orjson.loads((folder / "collection.json").read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise StoreUnavailable(f"{folder / 'collection.json'} cannot be read: {error}") from error
    shard = load(folder)
    try:
        return Found(meta, shard.info().points_count)
    finally:
        shard.close()


class EmbeddedStore:
    """One shard in one folder; implements `VectorStore`.

    Edge holds the interpreter's lock for the length of a call, so one thread serves all calls in turn: more
    threads would only queue up for that lock.
    """

    def __init__(self, name: str, meta: CollectionMeta, shard: edge.EdgeShard) -> None:
        self._name = name
        self._meta = meta
        self._shard = shard
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vectors")
        self._flush_timer: asyncio.TimerHandle | None = None
        self._closed = False

    @classmethod
    def open(cls, folder: Path, meta: CollectionMeta, *, language: str = "english") -> EmbeddedStore:
        """Open the collection in `folder`, or make it; `language` is that of its keywords (see `keywords.Language`).

        Raises ModelMismatch where it was made with another model, StoreLocked where another process has it
        open, StoreUnavailable where its files cannot be read.
        """
        found = peek(folder)
        if found is not None and found.meta != meta:
            if found.images:
                raise mismatch(folder.name, made_with=found.meta, running=meta)
            # Nobody's images are lost: an empty collection just follows the model.
            shutil.rmtree(folder)
            found = None
        if found is None:
            create(folder, meta)
        shard = load(folder)
        try:
            ensure_text_indexes(shard, language)
        # Whatever Edge raises, as below; what is open keeps every other process out.
        except BaseException as error:
            shard.close()
            raise StoreUnavailable(f"The indexes of {folder} cannot be made: {error}") from error
        return cls(folder.name, meta, shard)

    async def upsert(self, points: Sequence[tuple[ImageRecord, Embedding]]) -> None:
        """Write records with their vectors; see `VectorStore`."""
        operation = edge.UpdateOperation.upsert_points([to_point(*point) for point in points])
        await self._run(lambda: self._shard.update(operation))
        self._flush_later()

    async def put(self, record: ImageRecord, vector: Embedding, before: ImageRecord | None) -> bool:  # noqa: ARG002
        """Write one record: within one process nothing comes in between, or lands late; see `VectorStore`."""
        await self.upsert([(record, vector)])
        return True

    async def set_metadata(self, before: ImageRecord, metadata: Metadata, tagging: Tagging | None = None) -> bool:
        """Replace the metadata; see `VectorStore`."""
        unchanged = edge.CountRequest(exact=True, filter=as_read(before, _TERMS))
        operation = edge.UpdateOperation.set_payload([point_id(before.image_id)], metadata_fields(metadata, tagging))

        def change() -> bool:
            # Nothing comes in between: there is one thread for all calls, and one process for the folder.
            found = self._shard.count(unchanged) == 1
            if found:
                self._shard.update(operation)
            return found

        changed = await self._run(change)
        self._flush_later()
        return changed

    async def query(
        self,
        wanted: Wanted,
        *,
        top_k: int,
        threshold: float | None = None,
        condition: Condition | None = None,
        with_metadata: bool = True,
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
            with_payload=edge.PayloadSelector.Include(match_fields(with_metadata=with_metadata)),
            params=ranking.params,
        )

        def search() -> list[edge.ScoredPoint]:
            if condition is not None:
                ensure_field_indexes(self._shard, condition)
            return self._shard.query(request)

        points, scale, cosine = await self._run(search), scale_of(wanted), is_cosine(wanted)
        return [
            to_match(point.payload, point.score / scale, with_metadata=with_metadata, cosine=cosine) for point in points
        ]

    async def backfill(self) -> int:
        """Bring some points of an earlier version up to date; see `VectorStore`."""
        changed = await self._run(lambda: backfill(self._shard))
        self._flush_later()
        return changed

    async def get(self, image_id: str) -> ImageRecord | None:
        """Return one record; see `VectorStore`."""
        return (await self.get_many([image_id])).get(image_id)

    async def get_many(self, image_ids: Sequence[str]) -> dict[str, ImageRecord]:
        """Return the records of those that are indexed; see `VectorStore`."""
        ids: list[Any] = [point_id(image_id) for image_id in image_ids]
        found = await self._run(lambda: self._shard.retrieve(ids, with_payload=True, with_vector=False))
        return {record.image_id: record for record in (to_record(point.payload) for point in found)}

    async def get_vector(self, image_id: str) -> Embedding | None:
        """Return one embedding; see `VectorStore`."""
        return (await self.get_vectors([image_id])).get(image_id)

    async def get_vectors(self, image_ids: Sequence[str]) -> dict[str, Embedding]:
        """Return the embeddings of those that are indexed; see `VectorStore`."""
        names = {point_id(image_id): image_id for image_id in image_ids}
        ids: list[Any] = [*names]
        found = await self._run(lambda: self._shard.retrieve(ids, with_payload=False, with_vector=True))
        return {names[str(point.id)]: to_vector(point) for point in found}

    async def scroll(self, *, limit: int, cursor: str | None = None) -> Page:
        """Return a page, newest first; see `VectorStore`."""
        start = Cursor.decode(cursor) if cursor is not None else None
        request = edge.ScrollRequest(
            # One more than asked for tells whether there is a next page.
            limit=limit + 1,
            filter=behind(start, _TERMS) if start else None,
            order_by=edge.OrderBy("indexed_at", direction=edge.Direction.Desc),
            with_payload=True,
        )
        points, _ = await self._run(lambda: self._shard.scroll(request))
        records = tuple(to_record(point.payload) for point in points)
        if len(records) <= limit:
            return Page(records, next_cursor=None)
        return Page(records[:limit], next_cursor=Cursor.after(records[:limit], start).encode())

    async def export(self, *, after: str | None, limit: int) -> Batch:
        """Return records with their vectors; see `VectorStore`."""
        request = edge.ScrollRequest(offset=after, limit=limit, with_payload=True, with_vector=True)
        points, following = await self._run(lambda: self._shard.scroll(request))
        return Batch(
            [(to_record(point.payload), to_vector(point)) for point in points],
            after=None if following is None else str(following),
        )

    async def indexed_facets(self, *, values: int) -> list[IndexedFacet]:
        """Return what the field indexes know; see `VectorStore`."""
        queries = EdgeFacets(self._shard, self._run)
        return await indexed_facets(await queries.indexes(), queries, values=values)

    async def delete(self, image_id: str, *, revision: str | None = None) -> ImageRecord | None:
        """Remove one image; see `VectorStore`."""
        ids: list[Any] = [point_id(image_id)]

        def remove() -> list[edge.Record]:
            there = self._shard.retrieve(ids, with_payload=True, with_vector=False)
            found = [point for point in there if revision in (None, to_record(point.payload).revision)]
            if found:
                self._shard.update(edge.UpdateOperation.delete_points(ids))
            return found

        found = await self._run(remove)
        self._flush_later()
        return to_record(found[0].payload) if found else None

    async def count_content(self, sha256: str) -> int:
        """Count the records of one content; see `VectorStore`."""
        request = edge.CountRequest(exact=True, filter=of_content(sha256, _TERMS))
        return await self._run(lambda: self._shard.count(request))

    async def check(self) -> None:
        """Do nothing but ask; see `VectorStore`."""
        await self._run(self._shard.info)

    async def info(self) -> CollectionInfo:
        """Return the state of the collection; see `VectorStore`."""
        shard = await self._run(lambda: self._shard.info())
        return CollectionInfo(
            name=self._name,
            model=self._meta.model,
            dimension=self._meta.dimension,
            images=shard.points_count,
            indexed_vectors=shard.indexed_vectors_count,
            field_indexes=tuple(sorted({field for path in shard.payload_schema if (field := metadata_field(path))})),
        )

    async def close(self) -> None:
        """Flush and close the shard, so that another process can open it; closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        if self._flush_timer is not None:
            self._flush_timer.cancel()

        def finish() -> None:
            self._shard.flush()
            self._shard.close()

        try:
            await self._in_thread(finish)
        finally:
            self._thread.shutdown()

    async def optimize(self) -> bool:
        """Build the HNSW graph and drop deleted points; returns False where there was nothing to do.

        Stops the whole interpreter while it runs (20 s for 50,000 vectors): never to be called while serving.
        """
        done = await self._run(self._shard.optimize)
        await self._run(self._shard.flush)
        return done

    async def _run(self, call: Callable[[], T]) -> T:
        if self._closed:
            raise StoreUnavailable(f'The collection "{self._name}" is closed.')
        return await self._in_thread(call)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        def guarded() -> T:
            try:
                return call()
            # Edge raises plain `Exception` for whatever goes wrong inside it, and a panic in it is not even one.
            except BaseException as error:
                raise StoreUnavailable(f"The vector store failed: {error}") from error

        return await asyncio.get_running_loop().run_in_executor(self._thread, guarded)

    def _flush_later(self) -> None:
        if self._flush_timer is None and not self._closed:
            self._flush_timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._flush_timer = None
        self._thread.submit(self._shard.flush)
