"""Add images and change their metadata: one change per image at a time, and no write if nothing changes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from time import perf_counter

from image_similarity.cache.base import Cache
from image_similarity.concurrency.backoff import pause_before
from image_similarity.concurrency.locks import KeyedLocks, uncancellable
from image_similarity.domain.errors import Overloaded, not_found
from image_similarity.domain.image_ids import check_image_id, new_image_id
from image_similarity.domain.metadata import check_metadata, merge_patch, same_metadata
from image_similarity.domain.records import ImageRecord, IndexResult, Metadata, Pixels
from image_similarity.engine.collection.tagging import MetadataTagger, caller_metadata, patched
from image_similarity.engine.collection.writer import CollectionWriter, NewImage
from image_similarity.engine.embedding.images import ImageEmbedder
from image_similarity.filesystem.free_space import DiskSpace
from image_similarity.storage.images import ImageStorage
from image_similarity.vectors.base import CHANGES, VectorStore

MAX_BACKOFF_SECONDS = 0.2
"""Most seconds between two attempts. Pauses begin with a few milliseconds and double, so that other writers finish."""

_FIRST_PAUSE = 0.005


class Indexer:
    """Every method may raise StoreUnavailable; `index` and `tag` also the errors of the embedder and the tagger."""

    def __init__(
        self,
        embedder: ImageEmbedder,
        filler: MetadataTagger,
        vectors: VectorStore,
        storage: ImageStorage,
        cache: Cache,
        writes: CollectionWriter,
        ids: KeyedLocks,
        disk: DiskSpace,
    ) -> None:
        self._embedder = embedder
        self._filler = filler
        self._vectors = vectors
        self._storage = storage
        self._cache = cache
        self._writes = writes
        self._ids = ids
        self._disk = disk

    async def index(
        self, data: bytes, image_id: str | None, metadata: Metadata, request_key: str | None, digest: str | None
    ) -> IndexResult:
        """Add an image or replace it; see `SearchEngine.index_image`."""
        started = perf_counter()
        # Checked here too, because jobs and commands have no request; and before the model is used.
        await self._disk.check()
        metadata = check_metadata(metadata)
        digest = digest or await self._embedder.digest(data)
        image_id = new_image_id(request_key, digest) if image_id is None else check_image_id(image_id)
        async with self._ids.of(image_id):
            created, changed, lacking = await self._put(data, digest, image_id, metadata)
        taken = round((perf_counter() - started) * 1000, 3)
        return IndexResult(image_id, created, changed, taken, untagged=lacking)

    async def patch(self, image_id: str, patch: Metadata) -> ImageRecord:
        """Change an image's metadata; see `SearchEngine.patch_metadata`."""
        check_metadata(patch)

        def patch_it(before: ImageRecord) -> ImageRecord:
            metadata = check_metadata(merge_patch(before.metadata, patch))
            return replace(before, metadata=metadata, tagging=patched(before.tagging, patch))

        async with self._ids.of(image_id):
            return await self._change(image_id, patch_it)

    async def tag(self, image_id: str) -> bool:
        """Run the tagger on an indexed image; see `SearchEngine.tag_image`."""
        record = await self._get(image_id)
        if not self._filler.lacks(caller_metadata(record), record.tagging):
            return False
        finding = await self._filler.find(await self._look(record))
        filled = False

        def fill(before: ImageRecord) -> ImageRecord:
            nonlocal filled
            # Not if the image was replaced or described while the tagger was running.
            filled = before.sha256 == record.sha256 and self._filler.lacks(caller_metadata(before), before.tagging)
            if not filled:
                return before
            metadata, tagging = self._filler.add(caller_metadata(before), finding)
            return replace(before, metadata=metadata, tagging=tagging)

        async with self._ids.of(image_id):
            await self._change(image_id, fill)
        return filled

    async def _put(self, data: bytes, digest: str, image_id: str, metadata: Metadata) -> tuple[bool, bool, bool]:
        """Write an image, unless the same is there; return whether it was created, was changed, and lacks tags."""
        async for _ in _attempts(image_id):
            before = await self._vectors.get(image_id)
            same_bytes = before if before is not None and before.sha256 == digest else None
            same = same_bytes is not None and same_metadata(caller_metadata(same_bytes), metadata)
            lacking = self._filler.lacks(metadata, same_bytes.tagging if same_bytes is not None else None)
            kept = same and not (lacking and self._filler.quick) and await self._storage.is_whole(digest)
            if kept and before is not None and not await self._writes.is_condemned(before):
                # The previous writer may have died, or its write may have timed out, before it invalidated the cache.
                await self._cache.advance_generation(image_id)
                return False, False, lacking
            image = await self._prepare(data, digest, image_id, metadata, same_bytes)
            if await uncancellable(self._writes.put(image, before)):
                return before is None, True, self._filler.lacks(metadata, image.tagging)
        raise AssertionError("the attempts end with an error")

    async def _change(self, image_id: str, change: Callable[[ImageRecord], ImageRecord]) -> ImageRecord:
        """Write the record that `change` returns; start again if another process wrote it in between.

        It also starts again if the change was applied but overwritten at once, as if this change came later. So
        `change` must be idempotent.
        """
        async for _ in _attempts(image_id):
            before = await self._get(image_id)
            after = change(before)
            # An unchanged record is not written, and cached results stay valid.
            if after is before or await uncancellable(self._writes.set_metadata(before, after)):
                return after
        raise AssertionError("the attempts end with an error")

    async def _prepare(
        self, data: bytes, digest: str, image_id: str, metadata: Metadata, before: ImageRecord | None
    ) -> NewImage:
        """Prepare an image for writing; `before` is the existing record with the same bytes, if there is one."""
        filled, tagging = self._filler.keep(metadata, before)
        tag_now = self._filler.quick and self._filler.lacks(metadata, tagging)
        prepared = await self._embedder.prepare(data, digest, self._filler.preprocess if tag_now else None)
        if prepared.for_tagger is not None:
            filled, tagging = self._filler.add(metadata, await self._filler.find(prepared.for_tagger))
        return NewImage(image_id, digest, data, prepared, filled, tagging)

    async def _look(self, record: ImageRecord) -> Pixels:
        # If originals are not kept, the thumbnail is good enough.
        data = await self._storage.original(record.sha256) or await self._storage.thumbnail(record.sha256)
        if data is None:
            raise not_found(record.image_id)
        return await self._embedder.decode_for(data, self._filler.preprocess, min_side=self._filler.min_side)

    async def _get(self, image_id: str) -> ImageRecord:
        record = await self._vectors.get(image_id)
        if record is None:
            raise not_found(image_id)
        return record


async def _attempts(image_id: str) -> AsyncIterator[None]:
    """Yield once per attempt at a change, after a pause. Raises Overloaded after too many attempts."""
    for attempt in range(CHANGES):
        if attempt:
            # Random, because otherwise two processes might block each other for ever.
            await asyncio.sleep(random.uniform(0, pause_before(attempt, first=_FIRST_PAUSE, most=MAX_BACKOFF_SECONDS)))  # noqa: S311
        yield
    raise Overloaded(
        f'"{image_id}" was changed elsewhere whenever it was to be changed here, {CHANGES} times in a row; '
        "try again in a moment.",
        retry_after=1.0,
    )
