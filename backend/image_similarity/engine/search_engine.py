"""What the product does, one method a use case; HTTP, the command line and jobs only translate to and from it."""

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
    """The use cases, over parts that `bootstrap` chose.

    Every method may raise StoreUnavailable; those that take an image also what `ImageEmbedder` raises.
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
        """`answer_settings` is what tells this configuration's answers from another's, the model's name aside.

        With `own_store` the vectors are this process's alone, and it is not ready while they fail.
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
        """Asked before something is written."""
        self._indexing = Indexer(embedder, filler, vectors, storage, cache, self._writes, self._ids, disk)
        self.health = Monitor()
        """Looks at the parts once it is told to; servers and workers have it run."""
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
        """Find the images that a text describes. Raises TextSearchUnavailable where the model has no text tower."""
        return await self.search(Query.of(Text(text, template)), options)

    async def search_by_keywords(self, text: str, options: SearchOptions) -> SearchResult:
        """Find the images whose descriptions or tags have words of a text, best BM25 first."""
        return await self.search(Query(mode=Mode.KEYWORDS, keywords=text), options)

    async def search_by_id(self, image_id: str, options: SearchOptions) -> SearchResult:
        """Find the images that look like an indexed one, itself left out. Raises ImageNotFound."""
        return await self.search(Query.of(IndexedImage(image_id)), options)

    async def index_image(
        self,
        data: bytes,
        *,
        image_id: str | None = None,
        metadata: Metadata | None = None,
        request_key: str | None = None,
    ) -> IndexResult:
        """Add an image, or replace the one of the same id; the very same image and metadata are left as they are.

        What the caller left out of description and tags a quick tagger fills; for one that is not, `untagged` is set.
        Without an `image_id` it gets a new one; with a `request_key` the same one whenever the same bytes come under
        the same key, so that a request may be sent again when its answer was lost.

        Raises InvalidRequest for an image id or metadata beyond the limits.
        """
        return await self._indexing.index(data, image_id, metadata or {}, request_key)

    async def patch_metadata(self, image_id: str, patch: Metadata) -> ImageRecord:
        """Change an image's metadata by a JSON Merge Patch (RFC 7396), and return its record; all else stays.

        Raises ImageNotFound, InvalidRequest where the patch or what comes of it is beyond the limits, and Overloaded
        where other processes change the image all the time.
        """
        return await self._indexing.patch(image_id, patch)

    async def tag_image(self, image_id: str) -> bool:
        """Have the tagger look at an indexed image that it has not seen, and fill what the caller left out.

        Tells whether anything was written. Raises ImageNotFound, ModelUnavailable, EncodingFailed, DecodeTimeout, and
        Overloaded as `patch_metadata`, or where too many images wait for the tagger.
        """
        return await self._indexing.tag(image_id)

    async def load_tagger(self) -> None:
        """Read the weights of the tagger, if there is one, before it is first needed. Raises ModelUnavailable."""
        await self._filler.load()

    @property
    def tags_at_once(self) -> bool:
        """Whether images are tagged while they are indexed, and not later."""
        return self._filler.quick

    async def delete_image(
        self, image_id: str, *, undo_seconds: float = 0, request_key: str | None = None
    ) -> datetime | None:
        """Remove an image, for good unless it is restored within so many seconds; returns when they are over.

        Its bytes go too where no other image has the same. Sent again under its `request_key`, a request that did it
        is answered as it was to be; any other raises ImageNotFound.
        """
        async with self._ids.of(image_id):
            return await uncancellable(self._writes.remove(image_id, undo_seconds, request_key))

    async def restore_image(self, image_id: str, *, request_key: str | None = None) -> ImageRecord:
        """Bring a deleted image back as it was, its time of indexing included; `request_key` as for `delete_image`.

        Raises ImageExists where there is an image of that id, ImageNotFound where none can be restored (any more).
        """
        async with self._ids.of(image_id):
            return await uncancellable(self._writes.restore(image_id, request_key))

    async def get_image(self, image_id: str) -> ImageRecord:
        """Return what is known of an image. Raises ImageNotFound."""
        return await self._reads.record(image_id)

    async def content_of(self, image_id: str) -> Content:
        """Return which bytes an image has; see `Reads.content`. Raises ImageNotFound."""
        return await self._reads.content(image_id)

    async def original(self, content: Content | ImageRecord) -> bytes:
        """Return an image's bytes as they were sent. Raises ImageNotFound if originals are not kept, ImageDamaged."""
        return await self._reads.original(content)

    async def thumbnail(self, content: Content | ImageRecord) -> bytes:
        """Return an image's thumbnail, WebP; see `Reads.thumbnail`. Raises ImageNotFound, ImageDamaged."""
        return await self._reads.thumbnail(content)

    async def preview(self, content: Content | ImageRecord) -> bytes:
        """Return an image to look at, WebP; see `Reads.preview`, also for what it raises."""
        return await self._reads.preview(content)

    async def list_images(self, *, limit: int, cursor: str | None = None) -> Page:
        """Return a page of the collection, newest first. Raises InvalidCursor."""
        return await self._reads.page(limit=limit, cursor=cursor)

    async def facets(self) -> Facets:
        """Return the metadata fields that images have, and their values; kept until the next write."""
        answer, _ = await self._answers.to("facets", lambda: compute_facets(self._vectors), FACETS)
        return answer

    async def stats(self) -> EngineStats:
        """Return the state of the parts in numbers, and what an operator should do next."""
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
        """Bring up to `top` of the most asked embeddings into this process, and return how many were found."""
        return await self._cache.warm(top)

    def cache_failure(self) -> str | None:
        """Return what is wrong with the cache, without which all still works, only slower; None where all is well."""
        return self._cache.failure()

    async def bring_up_to_date(self) -> int:
        """Make what an earlier version indexed searchable by all that this one offers; returns how many it was."""
        return await bring_up_to_date(self._vectors, self._cache)

    async def run_maintenance(self, stop: asyncio.Event) -> None:
        """Look after the collection until told to stop; never raises.

        What an earlier version indexed is brought up to date; what deleted and replaced images have left, and what is
        too old, is dropped as it becomes due; what landed late is mended.
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
        """Finish what is under way, write out what is pending, let go of everything; raises as the store does."""
        for part in (self._embedder, self._texts, self._filler):
            await asyncio.to_thread(part.close)
        await self._urls.close()
        try:
            await self._vectors.close()
        finally:
            await self._cache.close()
