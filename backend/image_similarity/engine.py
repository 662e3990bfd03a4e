"""What the product does, one method a use case; HTTP, the command line and jobs only translate to and from it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import orjson
from uuid_utils import uuid7

from image_similarity.cache.base import Cache, Kind, TierStats
from image_similarity.cache.single_flight import SingleFlight
from image_similarity.domain import (
    Embedding,
    ImageNotFound,
    ImageRecord,
    ImageSimilarityError,
    IndexResult,
    Match,
    Metadata,
    Page,
    SearchOptions,
    SearchResult,
    StoreUnavailable,
)
from image_similarity.embedder import ImageEmbedder, PreparedImage
from image_similarity.encoders.base import ModelSpec
from image_similarity.inputs import check_image_id, check_metadata, new_image_id, same_metadata
from image_similarity.storage import ImageStorage
from image_similarity.telemetry.logging import get_logger
from image_similarity.telemetry.metrics import Metrics
from image_similarity.telemetry.tracing import span
from image_similarity.vectors.base import CollectionInfo, VectorStore

EXACT_SEARCH_LIMIT = 200_000
"""Images without a graph up to which exact search is quick enough (15 ms)."""

T = TypeVar("T")

Search = Callable[[], Awaitable[list[Match]]]


@dataclass(frozen=True, slots=True)
class RunningModel:
    """The model that is loaded, and why, where it is not the one that was asked for."""

    spec: ModelSpec
    device: str
    precision: str
    fallback_reason: str | None = None


@dataclass(frozen=True, slots=True)
class EngineStats:
    """The state of the parts in numbers."""

    model: RunningModel
    collection: CollectionInfo
    queue_depth: int
    cache: list[TierStats]
    recommendations: list[str]


class SearchEngine:
    """The use cases, over parts that `bootstrap.py` chose.

    Every method may raise StoreUnavailable; those that take an image also what `ImageEmbedder` raises.
    """

    PARTS = ("vector_store", "storage")
    """What `failures` looks at."""

    def __init__(
        self,
        *,
        model: RunningModel,
        embedder: ImageEmbedder,
        vectors: VectorStore,
        storage: ImageStorage,
        cache: Cache,
        metrics: Metrics,
    ) -> None:
        self.model = model
        self.metrics = metrics
        self._embedder = embedder
        self._vectors = vectors
        self._storage = storage
        self._cache = cache
        self._searching = SingleFlight[tuple[Match, ...]]()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._last_indexed = datetime.min.replace(tzinfo=UTC)

    async def search_by_image(self, data: bytes, options: SearchOptions) -> SearchResult:
        """Find the images that look like the one in `data`."""
        digest = await self._embedder.digest(data)
        self._embedder.count_query(digest)

        async def search() -> list[Match]:
            return await self._query(await self._embedder.embed(data, digest), options)

        return await self._cached(f"image:{digest}", options, search)

    async def search_by_id(self, image_id: str, options: SearchOptions) -> SearchResult:
        """Find the images that look like an indexed one, itself left out. Raises ImageNotFound."""

        async def search() -> list[Match]:
            vector = await self._vectors.get_vector(image_id)
            if vector is None:
                raise _not_found(image_id)
            return await self._query(vector, options, exclude=image_id)

        return await self._cached(f"id:{image_id}", options, search)

    async def index_image(
        self,
        data: bytes,
        *,
        image_id: str | None = None,
        metadata: Metadata | None = None,
        request_key: str | None = None,
    ) -> IndexResult:
        """Add an image, or replace the one of the same id; the very same image and metadata are left as they are.

        Without an `image_id` it gets a new one; with a `request_key` the same one whenever the same bytes come under
        the same key, so that a request may be sent again when its answer was lost.

        Raises InvalidRequest for an image id or metadata beyond the limits.
        """
        started = perf_counter()
        metadata = check_metadata(metadata or {})
        digest = await self._embedder.digest(data)
        image_id = new_image_id(request_key, digest) if image_id is None else check_image_id(image_id)
        async with self._lock(f"id:{image_id}"):
            before = await self._vectors.get(image_id)
            same = before is not None and before.sha256 == digest and same_metadata(before.metadata, metadata)
            changed = not (same and await self._storage.has(digest))
            if changed:
                prepared = await self._embedder.prepare(data, digest)
                await _to_the_end(self._write(image_id, digest, data, prepared, metadata, before))
            else:
                # Whoever wrote it may have died, or been given up on, before it could make older results stale.
                await self._cache.advance_generation()
        return IndexResult(image_id, before is None, changed, _milliseconds_since(started))

    async def delete_image(self, image_id: str) -> ImageRecord:
        """Remove an image, and its bytes where no other image has the same. Raises ImageNotFound."""
        async with self._lock(f"id:{image_id}"):
            return await _to_the_end(self._remove(image_id))

    async def get_image(self, image_id: str) -> ImageRecord:
        """Return what is known of an image. Raises ImageNotFound."""
        record = await self._vectors.get(image_id)
        if record is None:
            raise _not_found(image_id)
        return record

    async def original(self, record: ImageRecord) -> bytes:
        """Return an image's bytes as they were sent. Raises ImageNotFound where originals are not kept."""
        data = await self._storage.original(record.sha256)
        if data is None:
            raise ImageNotFound(f'The original of "{record.image_id}" is not kept (STORE_ORIGINALS=false).')
        return data

    async def thumbnail(self, record: ImageRecord) -> bytes:
        """Return an image's thumbnail, WebP. Raises ImageNotFound."""
        data = await self._storage.thumbnail(record.sha256)
        if data is None:
            raise ImageNotFound(f'The thumbnail of "{record.image_id}" is missing; index the image again.')
        return data

    async def list_images(self, *, limit: int, cursor: str | None = None) -> Page:
        """Return a page of the collection, newest first. Raises InvalidCursor."""
        return await self._vectors.scroll(limit=limit, cursor=cursor)

    async def stats(self) -> EngineStats:
        """Return the state of the parts in numbers, and what an operator should do next."""
        collection = await self._vectors.info()
        self.metrics.collection_images.set(collection.images)
        return EngineStats(
            model=self.model,
            collection=collection,
            queue_depth=self._embedder.queue_depth,
            cache=self._cache.stats(),
            recommendations=_recommend(collection),
        )

    async def warm(self, top: int) -> int:
        """Bring up to `top` of the most asked embeddings into this process, and return how many were found."""
        return await self._cache.warm(top)

    def cache_failure(self) -> str | None:
        """Return what is wrong with the cache, without which all still works, only slower; None where all is well."""
        return self._cache.failure()

    async def failures(self) -> dict[str, str]:
        """Return what is wrong, by the name of the part; empty where all is well."""
        checks: tuple[Callable[[], Awaitable[object]], ...] = (self._vectors.check, self._storage.check)
        found: dict[str, str] = {}
        for part, check in zip(self.PARTS, checks, strict=True):
            try:
                await check()
            except ImageSimilarityError as error:
                found[part] = str(error)
        return found

    async def close(self) -> None:
        """Finish what is under way, write out what is pending, let go of everything."""
        await asyncio.to_thread(self._embedder.close)
        await self._vectors.close()
        await self._cache.close()

    async def _query(self, vector: Embedding, options: SearchOptions, *, exclude: str | None = None) -> list[Match]:
        with self.metrics.stage("query"), span("store"):
            return await self._vectors.query(
                vector,
                top_k=options.top_k,
                threshold=options.threshold,
                condition=options.filter,
                with_metadata=options.with_metadata,
                exclude=exclude,
            )

    async def _cached(self, subject: str, options: SearchOptions, search: Search) -> SearchResult:
        started = perf_counter()
        generation = await self._cache.generation()
        if generation is None:
            return SearchResult(str(uuid7()), tuple(await search()), _milliseconds_since(started), cached=False)
        key = self._result_key(generation, subject, options)
        with span("cache"):
            stored = await self._cache.get(Kind.RESULT, key)
        if stored is not None:
            matches = tuple(Match(*fields) for fields in orjson.loads(stored))
        else:

            async def compute() -> tuple[Match, ...]:
                found = await search()
                rows = [(match.image_id, match.score, match.metadata) for match in found]
                await self._cache.set(Kind.RESULT, key, orjson.dumps(rows))
                return tuple(found)

            matches = await self._searching.run(key, compute)
        return SearchResult(str(uuid7()), matches, _milliseconds_since(started), cached=stored is not None)

    def _result_key(self, generation: str, subject: str, options: SearchOptions) -> str:
        # A frozen dataclass of plain values: its text tells any two apart, 1 from 1.0 and from True included.
        question = hashlib.sha256(f"{subject}\n{options!r}".encode()).hexdigest()
        return f"{self.model.spec.name}:{generation}:{question}"

    async def _write(
        self,
        image_id: str,
        digest: str,
        data: bytes,
        prepared: PreparedImage,
        metadata: Metadata,
        before: ImageRecord | None,
    ) -> None:
        """Store the bytes, then the vector, so that an image that is found can be shown; drop what it replaces."""
        record = ImageRecord(
            image_id=image_id,
            sha256=digest,
            width=prepared.width,
            height=prepared.height,
            format=prepared.format,
            indexed_at=self._next_moment(),
            metadata=metadata,
        )
        async with self._lock(f"content:{digest}"):
            try:
                with span("storage"):
                    await self._storage.save(digest, data, prepared.thumbnail)
                with span("store"):
                    await self._vectors.upsert([(record, prepared.embedding)])
            except Exception:
                with suppress(StoreUnavailable):
                    await self._forget_content(digest)
                raise
        await self._cache.advance_generation()
        self.metrics.indexed.inc()
        if before is not None and before.sha256 != digest:
            await self._drop_unused(before.sha256)

    async def _remove(self, image_id: str) -> ImageRecord:
        record = await self._vectors.delete(image_id)
        # Even where nothing is there any more, for the reason that index_image gives.
        await self._cache.advance_generation()
        if record is None:
            raise _not_found(image_id)
        self.metrics.deleted.inc()
        await self._drop_unused(record.sha256)
        return record

    async def _drop_unused(self, digest: str) -> None:
        """Drop bytes that no record has any more; what fails here does not undo the write that came before."""
        async with self._lock(f"content:{digest}"):
            try:
                await self._forget_content(digest)
            except StoreUnavailable as error:
                get_logger().warning("unused_bytes_kept", sha256=digest, reason=str(error))

    async def _forget_content(self, digest: str) -> None:
        if await self._vectors.count_content(digest) == 0:
            await self._storage.delete(digest)

    def _lock(self, name: str) -> asyncio.Lock:
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    def _next_moment(self) -> datetime:
        self._last_indexed = max(datetime.now(UTC), self._last_indexed + timedelta(microseconds=1))
        return self._last_indexed


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await a write; a caller that is cancelled meanwhile is let go only when the write is done.

    The stores finish what was sent to them whether or not anyone waits, and what must follow (stale results, unused
    bytes, the locks) would be left undone.
    """
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is None:
        return task.result()
    # Marks an error as seen: there is nobody left to tell.
    task.exception()
    raise cancellation


def _recommend(collection: CollectionInfo) -> list[str]:
    exact = collection.images - collection.indexed_vectors
    if collection.builds_graph or exact <= EXACT_SEARCH_LIMIT:
        return []
    return [
        f"{exact} images are searched one by one; stop the server and run `image-similarity optimize` to build the "
        "search graph."
    ]


def _not_found(image_id: str) -> ImageNotFound:
    return ImageNotFound(f'No image with the id "{image_id}" is indexed.')


def _milliseconds_since(started: float) -> float:
    return round((perf_counter() - started) * 1000, 3)
