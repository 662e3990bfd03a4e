"""Read single images: records from the store, bytes from the storage (also while the store is away)."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from time import monotonic

import orjson

from image_similarity.cache.base import Cache
from image_similarity.concurrency.locks import KeyedLocks
from image_similarity.domain.errors import (
    ImageDamaged,
    ImageNotFound,
    ImageTooLarge,
    ImageUndecodable,
    StoreUnavailable,
    UnsupportedFormat,
    not_found,
)
from image_similarity.domain.records import Content, ImageRecord, Match, Page
from image_similarity.engine.answer_size import check_answer, next_part
from image_similarity.engine.embedding.images import ImageEmbedder
from image_similarity.engine.health import Monitor
from image_similarity.filesystem.free_space import DiskSpace
from image_similarity.storage.images import ImageStorage
from image_similarity.telemetry.logging import get_logger
from image_similarity.telemetry.metrics import Metrics
from image_similarity.vectors.base import VectorStore


class Reads:
    """Every method may raise StoreUnavailable."""

    def __init__(
        self,
        vectors: VectorStore,
        storage: ImageStorage,
        cache: Cache,
        health: Monitor,
        metrics: Metrics,
        embedder: ImageEmbedder,
        disk: DiskSpace,
    ) -> None:
        """`embedder` makes thumbnails and previews from originals; if the `disk` is full, previews are not stored."""
        self._vectors = vectors
        self._storage = storage
        self._cache = cache
        self._health = health
        self._metrics = metrics
        self._embedder = embedder
        self._disk = disk
        self._making = KeyedLocks()

    async def record(self, image_id: str) -> ImageRecord:
        """Return the record of an image. Raises ImageNotFound."""
        since = monotonic()
        record = await self._vectors.get(image_id)
        if record is None:
            raise not_found(image_id)
        self.note([record], since)
        return record

    async def page(self, *, limit: int, cursor: str | None) -> Page:
        """Return a page of the collection, newest first. Raises InvalidCursor, AnswerTooLarge."""
        since = monotonic()
        records: list[ImageRecord] = []
        texts: list[bytes] = []
        size = 0
        while True:
            count = min(next_part(len(records), size), limit - len(records))
            step = await self._vectors.scroll(limit=count, cursor=cursor)
            records += step.records
            texts += [orjson.dumps(record.metadata) for record in step.records]
            size = sum(map(len, texts))
            check_answer(size, "ask for fewer images at a time (limit)")
            cursor = step.next_cursor
            if cursor is None or len(records) >= limit:
                break
        self.note(records, since)
        return Page(tuple(records), cursor, tuple(texts))

    async def content(self, image_id: str) -> Content:
        """Return the digest of an image's bytes; while the store is away, the last one that a replica has read.

        Raises ImageNotFound.
        """
        # If the store is known to be away, do not wait for it first: a frozen one would take its whole timeout.
        away = self._health.problem("vector_store") is not None
        if away and (known := await self._last(image_id)) is not None:
            return known
        try:
            record = await self.record(image_id)
        except StoreUnavailable:
            known = await self._last(image_id)
            if known is None:
                raise
            return known
        return Content(image_id, record.sha256)

    async def original(self, content: Content | ImageRecord) -> bytes:
        """Return an image's original bytes. Raises ImageNotFound if originals are not kept, ImageDamaged."""
        data = await self._storage.original(content.sha256)
        if data is None:
            raise ImageNotFound(f'The original of "{content.image_id}" is not kept (STORE_ORIGINALS=false).')
        return data

    async def thumbnail(self, content: Content | ImageRecord) -> bytes:
        """Return an image's thumbnail, WebP; a lost or damaged one is made again from the original.

        Raises ImageNotFound or ImageDamaged if the original is not kept, and the errors of `ImageEmbedder.thumbnail`.
        """
        with suppress(ImageDamaged):
            if (stored := await self._storage.thumbnail(content.sha256)) is not None:
                return stored
        # One at a time, because each visitor of a page of results requests it.
        async with self._making.of(content.sha256):
            damage: ImageDamaged | None = None
            try:
                if (stored := await self._storage.thumbnail(content.sha256)) is not None:
                    return stored
            except ImageDamaged as error:
                damage = error
            return await self._new_thumbnail(content, damage)

    async def _new_thumbnail(self, content: Content | ImageRecord, damage: ImageDamaged | None) -> bytes:
        original = await self._storage.original(content.sha256)
        if original is None:
            raise damage or ImageNotFound(f'The thumbnail of "{content.image_id}" is missing; index the image again.')
        try:
            thumbnail = await self._embedder.thumbnail(original)
        except (ImageTooLarge, ImageUndecodable, UnsupportedFormat) as error:
            raise damage or ImageDamaged("The thumbnail of the image is lost and cannot be made anew.") from error
        get_logger().warning("thumbnail_made_anew", sha256=content.sha256)
        # On an error the log has it, and the next request makes the thumbnail again.
        with suppress(StoreUnavailable):
            await self._storage.save_thumbnail(content.sha256, thumbnail)
        return thumbnail

    async def preview(self, content: Content | ImageRecord) -> bytes:
        """Return an image in screen size, WebP, made from the original at the first request and stored beside it.

        Raises ImageNotFound if originals are not kept, ImageDamaged, and the errors of decoding.
        """
        sha256 = content.sha256
        # One at a time: several visitors may open the same image.
        async with self._making.of(f"{sha256}-preview"):
            # A damaged one is logged, and made again.
            with suppress(ImageDamaged):
                if (stored := await self._storage.preview(sha256)) is not None:
                    return stored
            preview = await self._embedder.preview(await self.original(content))
            # If it cannot be stored, the log or /health shows why, and the next request makes it again.
            with suppress(StoreUnavailable):
                async with self._disk.hold(len(preview)):
                    await self._storage.save_preview(sha256, preview)
        return preview

    def note(self, images: Iterable[ImageRecord | Match], since: float) -> None:
        """Remember the digests of images that were read from the store at `since`, by `time.monotonic`."""
        self._cache.note_contents({image.image_id: image.sha256 for image in images}, since)

    async def _last(self, image_id: str) -> Content | None:
        sha256 = await self._cache.last_content(image_id)
        if sha256 is None:
            return None
        self._metrics.reads_without_store.inc()
        return Content(image_id, sha256)
