"""Changes of a collection. The order of the steps of each change makes it safe if the process dies between any two."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from image_similarity.cache.base import Cache
from image_similarity.domain.errors import ImageExists, ImageNotFound, StoreUnavailable, WriteOutcomeUnknown, not_found
from image_similarity.domain.metadata import same_metadata
from image_similarity.domain.records import ImageRecord, Metadata, Tagging
from image_similarity.engine.collection.idempotency import Repeats, Request
from image_similarity.engine.collection.trash import Trash
from image_similarity.engine.collection.unsettled import KEEP_SECONDS, Settler
from image_similarity.engine.embedding.images import PreparedImage
from image_similarity.storage.images import ImageStorage
from image_similarity.telemetry.metrics import Metrics
from image_similarity.telemetry.tracing import span
from image_similarity.vectors.base import VectorStore


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image to write."""

    image_id: str
    sha256: str
    data: bytes
    prepared: PreparedImage
    metadata: Metadata
    tagging: Tagging | None = None


class CollectionWriter:
    """The caller must hold a lock on the image's id and must not cancel a change. All methods raise StoreUnavailable.

    Each change invalidates cached results before it returns, even if nothing changed: the previous writer may have
    died, or its write may have timed out, before it could do so.
    """

    def __init__(
        self,
        vectors: VectorStore,
        storage: ImageStorage,
        cache: Cache,
        trash: Trash,
        metrics: Metrics,
        repeats: Repeats,
        settler: Settler | None,
    ) -> None:
        """`settler` is None for a store whose writes are never applied late."""
        self._repeats = repeats
        self._settler = settler
        self._vectors = vectors
        self._storage = storage
        self._cache = cache
        self._trash = trash
        self._metrics = metrics
        self._last_indexed = datetime.min.replace(tzinfo=UTC)

    async def run_sweeps(self, stop: asyncio.Event) -> None:
        """Drop data that is no longer needed, and repair late writes, until `stop` is set; never raises."""
        sweeps = [self._trash.run_sweeps(stop), self._repeats.run_sweeps(stop)]
        if self._settler is not None:
            sweeps.append(self._settler.run_sweeps(stop))
        await asyncio.gather(*sweeps)

    async def put(self, image: NewImage, before: ImageRecord | None) -> bool:
        """Store the bytes, then the vector, so that an image that is found can be shown; drop the replaced bytes.

        Returns whether the write won (see `VectorStore`).
        """
        await self._trash.claim()
        async with self._trash.begun.writing(image.sha256):
            return await self._put(image, before)

    async def _put(self, image: NewImage, before: ImageRecord | None) -> bool:
        record = ImageRecord(
            image_id=image.image_id,
            sha256=image.sha256,
            width=image.prepared.width,
            height=image.prepared.height,
            format=image.prepared.format,
            indexed_at=self._next_moment(),
            metadata=image.metadata,
            tagging=image.tagging,
        )
        replaced = before.sha256 if before is not None and before.sha256 != image.sha256 else None
        if replaced is not None:
            await self._trash.note(replaced)
        try:
            async with self._trash.contents.of(image.sha256):
                with span("storage"):
                    await self._storage.save(image.sha256, image.data, image.prepared.thumbnail)
                with span("store"):
                    stands = await self._vectors.put(record, image.prepared.embedding, before)
                if not self._trash.alone and not await self._storage.has(image.sha256):
                    # Another process dropped the bytes, because it checked for records a moment before; see trash.py.
                    await self._storage.save(image.sha256, image.data, image.prepared.thumbnail)
        except Exception as error:
            lands_later = isinstance(error, WriteOutcomeUnknown)
            with suppress(StoreUnavailable):
                await self._trash.note(image.sha256, KEEP_SECONDS if lands_later else 0)
                await self._settle(image.sha256)
            if lands_later:
                await self._cache.advance_generation(image.image_id)
            raise
        await self._cache.advance_generation(image.image_id)
        if not stands:
            await self._trash.note(image.sha256)
            return False
        self._metrics.indexed.inc()
        if replaced is not None:
            await self._settle(replaced)
        return True

    async def is_condemned(self, record: ImageRecord) -> bool:
        """Return whether an existing image is about to be removed, because it was deleted and came back late."""
        return self._settler is not None and await self._settler.is_condemned(record)

    async def set_metadata(self, before: ImageRecord, after: ImageRecord) -> bool:
        """Replace metadata and tagging; return False if another writer won (see `VectorStore`)."""
        changed = not same_metadata(before.metadata, after.metadata) or before.tagging != after.tagging
        stands = not changed or await self._vectors.set_metadata(before, after.metadata, after.tagging)
        await self._cache.advance_generation()
        return stands

    async def remove(self, image_id: str, undo_seconds: float, request_key: str | None = None) -> datetime | None:
        """Remove an image; return until when it can be restored, None if it cannot.

        Raises ImageNotFound, except if an earlier attempt with the same key may have removed the image.
        """
        request = None if request_key is None else Request("delete", image_id, request_key)
        record = await self._vectors.get(image_id)
        vector = await self._vectors.get_vector(image_id) if record is not None and undo_seconds > 0 else None
        until = await self._trash.put(record, vector, undo_seconds) if record is not None else None
        repeated = record is None or (request is not None and not await self._repeats.begin(request, {"until": until}))
        try:
            removed = await self._vectors.delete(image_id)
            came_back = self._settler is not None and await self._settler.condemn(image_id)
        finally:
            # Also if the outcome is unknown: searches must read the store from now on.
            await self._cache.advance_generation(image_id)
        if removed is None:
            before = await self._repeats.find(request) if request is not None and repeated else None
            if before is None and not came_back:
                raise not_found(image_id)
            return None if before is None or before["until"] is None else datetime.fromisoformat(before["until"])
        self._metrics.deleted.inc()
        if record is None or removed.sha256 != record.sha256:
            # Another process indexed the image again in between.
            await self._trash.note(removed.sha256)
        if until is None:
            await self._settle(removed.sha256)
        return until

    async def restore(self, image_id: str, request_key: str | None = None) -> ImageRecord:
        """Restore a deleted image unchanged.

        Raises ImageExists if there is an image with that id, unless an earlier attempt with the same key restored it;
        ImageNotFound if no deletion of the id can be undone.
        """
        request = None if request_key is None else Request("restore", image_id, request_key)
        there = await self._vectors.get(image_id)
        if there is not None:
            return await self._restored_before(there, request)
        deleted = await self._trash.find(image_id)
        if deleted is None:
            raise ImageNotFound(f'No image "{image_id}" was deleted within the time that it can be restored.')
        record = deleted.record
        async with self._trash.contents.of(record.sha256):
            kept = await self._storage.has_any(record.sha256)
            if kept:
                if request is not None:
                    await self._repeats.begin(request, _named(record))
                if not await self._vectors.put(record, deleted.vector, None):
                    raise _exists(image_id)
                # Another process may have just dropped the bytes; see trash.py.
                kept = self._trash.alone or await self._storage.has_any(record.sha256)
                if not kept:
                    await self._vectors.delete(image_id)
        await self._cache.advance_generation(image_id)
        if not kept:
            raise ImageNotFound(f'The image "{image_id}" was deleted too long ago: its bytes are dropped.')
        # If this fails, the entry does no harm and is swept later.
        with suppress(StoreUnavailable):
            await self._trash.take_out(deleted)
        return record

    async def _restored_before(self, there: ImageRecord, request: Request | None) -> ImageRecord:
        """Return the image if an earlier attempt of this request restored it, else raise ImageExists."""
        if request is None or await self._repeats.find(request) != _named(there):
            raise _exists(there.image_id)
        await self._cache.advance_generation(there.image_id)
        return there

    async def _settle(self, sha256: str) -> None:
        # If the process is not alone, only the sweep may drop them: another process may be about to use the same bytes.
        if self._trash.alone:
            await self._trash.settle(sha256)

    def _next_moment(self) -> datetime:
        self._last_indexed = max(datetime.now(UTC), self._last_indexed + timedelta(microseconds=1))
        return self._last_indexed


def _named(record: ImageRecord) -> dict[str, str]:
    return {"sha256": record.sha256, "indexed_at": record.indexed_at.isoformat()}


def _exists(image_id: str) -> ImageExists:
    return ImageExists(f'There is an image "{image_id}"; a deleted one of that id is not restored over it.')
