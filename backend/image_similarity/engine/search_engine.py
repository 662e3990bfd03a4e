"""The use cases of the product, one method per use case; HTTP, the command line and jobs only translate."""

from __future__ import annotations

import asyncio
from datetime import datetime
from time import monotonic

from image_similarity.cache.base import Cache
from image_similarity.cache.results import ResultCache
from image_similarity.concurrency.locks import KeyedLocks, uncancellable
from image_similarity.domain.facets import Facets
from image_similarity.domain.queries import ImageBytes, IndexedImage, Mode, Query, SearchOptions, SearchResult, Text
from image_similarity.domain.records import Content, ImageRecord, IndexResult, Metadata, Page
from image_similarity.engine.advice import recommend
from image_similarity.engine.collection.backfill import bring_up_to_date, run_backfill
from image_similarity.engine.collection.indexer import Indexer
from image_similarity.engine.collection.reader import Reads
from image_similarity.engine.collection.tagging import MetadataTagger
from image_similarity.engine.collection.writer import CollectionWriter
from image_similarity.engine.embedding.images import ImageEmbedder
from image_similarity.engine.embedding.texts import TextEmbedder
from image_similarity.engine.feedback.log import FeedbackLog
from image_similarity.engine.health import Monitor, Readiness
from image_similarity.engine.search.facets import FACETS, compute_facets
from image_similarity.engine.search.searcher import Searcher
from image_similarity.engine.stats import EngineStats, ModelInfo
from image_similarity.filesystem.free_space import DiskSpace
from image_similarity.images.fetch import UrlFetcher
from image_similarity.storage.images import ImageStorage
from image_similarity.telemetry.metrics import Metrics
from image_similarity.vectors.base import CollectionInfo, VectorStore


class SearchEngine:
    """The use cases, with parts that `bootstrap` chooses.

    Each use case of images is a method. What callers need that has methods of its own is an attribute: `feedback`,
    `health`, `readiness`, `disk` and `metrics`; all other parts are private.

    Every method may raise StoreUnavailable; methods that take an image also the errors of `ImageEmbedder`.
    """

    def __init__(
        self,
        *,
        model: ModelInfo,
        embedder: ImageEmbedder,
        texts: TextEmbedder,
        urls: UrlFetcher,
        feedback: FeedbackLog,
        filler: MetadataTagger,
        vectors: VectorStore,
        storage: ImageStorage,
        writes: CollectionWriter,
        cache: Cache,
        metrics: Metrics,
        disk: DiskSpace,
        answer_settings: str = "",
        own_store: bool = False,
    ) -> None:
        """`answer_settings` distinguishes this configuration's cached answers from others, besides the model's name.

        With `own_store` this process alone has the vectors, and it is not ready while they fail.
        """
        self.model = model
        self.metrics = metrics
        self._embedder = embedder
        self._texts = texts
        self._urls = urls
        self.feedback = feedback
        self._vectors = vectors
        self._storage = storage
        self._cache = cache
        self._answers = ResultCache(cache, model.spec.name, settings=answer_settings)
        self._searches = Searcher(
            embedder, texts, urls, vectors, self._answers, metrics, model.calibrations, alike=model.duplicate_similarity
        )
        self._writes = writes
        self._ids = KeyedLocks()
        self._filler = filler
        self.disk = disk
        """Checked before something is written."""
        self._indexing = Indexer(embedder, filler, vectors, storage, cache, self._writes, self._ids, disk)
        self.health = Monitor()
        """Checks the parts while it runs; servers and workers run it."""
        self.health.add("vector_store", self._look_at_vectors)
        self.health.add("storage", storage.check)
        self.health.add("disk", disk.look)
        self._reads = Reads(vectors, storage, cache, self.health, metrics, embedder, disk)
        self.readiness = Readiness()
        self.readiness.add("decoders", embedder.failure)
        if own_store:
            self.readiness.add("vector_store", lambda: self.health.failure("vector_store"))

    async def search(self, query: Query, options: SearchOptions) -> SearchResult:
        """Find the images that are most like the query. Raises as `Searcher.run`."""
        since = monotonic()
        result = await self._searches.run(query, options)
        self._reads.note(result.hits, since)
        return result

    async def search_by_image(self, data: bytes, options: SearchOptions) -> SearchResult:
        """Find the images that look like the one in `data`."""
        return await self.search(Query.of(ImageBytes(data)), options)

    async def search_by_text(self, text: str, options: SearchOptions, template: str | None = None) -> SearchResult:
        """Find the images that a text describes. Raises TextSearchUnavailable if the model has no text tower."""
        return await self.search(Query.of(Text(text, template)), options)

    async def search_by_keywords(self, text: str, options: SearchOptions) -> SearchResult:
        """Find the images whose descriptions or tags contain words of a text, best BM25 score first."""
        return await self.search(Query(mode=Mode.KEYWORDS, keywords=text), options)

    async def search_by_id(self, image_id: str, options: SearchOptions) -> SearchResult:
        """Find the images that look like an indexed one, without that one. Raises ImageNotFound."""
        return await self.search(Query.of(IndexedImage(image_id)), options)

    async def index_image(
        self,
        data: bytes,
        *,
        image_id: str | None = None,
        metadata: Metadata | None = None,
        request_key: str | None = None,
        digest: str | None = None,
    ) -> IndexResult:
        """Add an image, or replace the one with the same id; if image and metadata are the same, nothing is written.

        A quick tagger fills in tags or description if the caller left them out; with a slow one, `untagged` is set.
        Without an `image_id` the image gets a new id. With a `request_key`, the same bytes and the same key always give
        the same id, so that a request can be repeated if its answer was lost. `digest` is the SHA-256 of `data` if the
        caller has just computed it.

        Raises InvalidRequest if the image id or the metadata exceeds the limits.
        """
        return await self._indexing.index(data, image_id, metadata or {}, request_key, digest)

    async def patch_metadata(self, image_id: str, patch: Metadata) -> ImageRecord:
        """Change an image's metadata by a JSON Merge Patch (RFC 7396), and return its record; all else stays.

        Raises ImageNotFound, InvalidRequest if the patch or the result exceeds the limits, and Overloaded if other
        processes change the image all the time.
        """
        return await self._indexing.patch(image_id, patch)

    async def tag_image(self, image_id: str) -> bool:
        """Run the tagger on an indexed image that it has not processed; fill in the fields that the caller left out.

        Returns whether anything was written. Raises ImageNotFound, ModelUnavailable, EncodingFailed, DecodeTimeout, and
        Overloaded as `patch_metadata`, or if too many images wait for the tagger.
        """
        return await self._indexing.tag(image_id)

    async def load_tagger(self) -> None:
        """Load the weights of the tagger, if there is one, before they are needed. Raises ModelUnavailable."""
        await self._filler.load()

    @property
    def tags_at_once(self) -> bool:
        """Whether images are tagged while they are indexed, and not in a job afterwards."""
        return self._filler.quick

    async def delete_image(
        self, image_id: str, *, undo_seconds: float = 0, request_key: str | None = None
    ) -> datetime | None:
        """Remove an image, which can be restored for `undo_seconds`; return until when, None if it cannot.

        Its bytes are dropped too, if no other image has the same. If a request is repeated with its `request_key`, it
        returns the same as the first time. Raises ImageNotFound.
        """
        async with self._ids.of(image_id):
            return await uncancellable(self._writes.remove(image_id, undo_seconds, request_key))

    async def restore_image(self, image_id: str, *, request_key: str | None = None) -> ImageRecord:
        """Restore a deleted image unchanged, including its time of indexing; `request_key` as for `delete_image`.

        Raises ImageExists if there is an image with that id, ImageNotFound if no deletion of the id can be undone.
        """
        async with self._ids.of(image_id):
            return await uncancellable(self._writes.restore(image_id, request_key))

    async def get_image(self, image_id: str) -> ImageRecord:
        """Return the record of an image. Raises ImageNotFound."""
        return await self._reads.record(image_id)

    async def content_of(self, image_id: str) -> Content:
        """Return the digest of an image's bytes; see `Reads.content`. Raises ImageNotFound."""
        return await self._reads.content(image_id)

    async def original(self, content: Content | ImageRecord) -> bytes:
        """Return an image's original bytes. Raises ImageNotFound if originals are not kept, ImageDamaged."""
        return await self._reads.original(content)

    async def thumbnail(self, content: Content | ImageRecord) -> bytes:
        """Return an image's thumbnail, WebP; see `Reads.thumbnail`. Raises ImageNotFound, ImageDamaged."""
        return await self._reads.thumbnail(content)

    async def preview(self, content: Content | ImageRecord) -> bytes:
        """Return an image in screen size, WebP; see `Reads.preview`, also for its errors."""
        return await self._reads.preview(content)

    async def list_images(self, *, limit: int, cursor: str | None = None) -> Page:
        """Return a page of the collection, newest first. Raises InvalidCursor."""
        return await self._reads.page(limit=limit, cursor=cursor)

    async def facets(self) -> Facets:
        """Return the metadata fields of the images, and their values; cached until the next write."""
        answer, _ = await self._answers.to("facets", lambda: compute_facets(self._vectors), FACETS)
        return answer

    async def stats(self) -> EngineStats:
        """Return the figures of all parts, and recommendations for the operator."""
        collection = await self._collection()
        return EngineStats(
            model=self.model,
            text_model=self._texts.state() if "text" in self.model.spec.towers else None,
            collection=collection,
            queue_depth=self._embedder.queue_depth,
            cache=self._cache.stats(),
            recommendations=recommend(collection),
        )

    async def warm(self, top: int) -> int:
        """Load up to `top` of the most used embeddings into this process; return how many were found."""
        return await self._cache.warm(top)

    def cache_failure(self) -> str | None:
        """Return the problem of the cache, None if it has none; without a cache the service works, only slower."""
        return self._cache.failure()

    async def bring_up_to_date(self) -> int:
        """Update images that an earlier version indexed, so that all searches find them; return how many there were."""
        return await bring_up_to_date(self._vectors, self._cache)

    async def run_maintenance(self, stop: asyncio.Event) -> None:
        """Maintain the collection until `stop` is set; never raises.

        Updates images that an earlier version indexed, drops bytes of deleted and replaced images and expired documents
        when they are due, and repairs writes that came late.
        """
        await asyncio.gather(
            run_backfill(self._vectors, self._cache, stop),
            self._writes.run_sweeps(stop),
            self.feedback.run_sweeps(stop),
        )

    async def _look_at_vectors(self) -> None:
        await self._vectors.check()
        await self._collection()

    async def _collection(self) -> CollectionInfo:
        collection = await self._vectors.info()
        self.metrics.collection_images.set(collection.images)
        if collection.placement is not None:
            self.metrics.set_placement(
                shards=collection.placement.shards,
                wanted=collection.placement.copies_wanted,
                active=collection.placement.copies_active,
                on_one_node=collection.placement.shards_on_one_node,
            )
        return collection

    async def close(self) -> None:
        """Finish the work in progress, flush pending writes, and close all parts; raises the errors of the store."""
        for part in (self._embedder, self._texts, self._filler):
            await asyncio.to_thread(part.close)
        await self._urls.close()
        try:
            await self._vectors.close()
        finally:
            await self._cache.close()
