"""Image bytes at rest: originals and thumbnails, content-addressed, in a folder or an S3-compatible bucket."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from obstore.store import ObjectStore

from image_similarity.domain.errors import ImageDamaged
from image_similarity.storage.objects import Objects, open_store
from image_similarity.storage.sealed import seal, unseal
from image_similarity.telemetry.logging import get_logger

PROBE = "probe"
"""Key of the object whose metadata is read to check whether a bucket answers."""

_USERS = "used-by"
"""Folder with one empty object per collection; several collections may share a storage and its bytes."""

_PROBE_TEXT = b"The image similarity engine looks at this object to know whether the bucket answers.\n"


@dataclass(frozen=True, slots=True)
class StoredImage:
    """Stored bytes and thumbnail of an image; None for each that is not stored."""

    original: bytes | None
    thumbnail: bytes | None

    @property
    def is_empty(self) -> bool:
        """Whether neither is stored."""
        return self.original is None and self.thumbnail is None


class ImageStorage:
    """Two objects per image, keyed by the SHA-256 of the original; identical bytes are stored once.

    Every method raises StoreUnavailable if the folder or bucket cannot be used.
    """

    def __init__(
        self, store: ObjectStore, *, store_originals: bool, on_damage: Callable[[], object] = lambda: None
    ) -> None:
        """`on_damage` is called for each original, thumbnail or preview that is read damaged."""
        self._objects = Objects(store)
        # Not if originals are stored: a thumbnail lost in a power cut is made again from its original.
        self._thumbnails_durable = not store_originals
        self._on_damage = on_damage
        self._store_originals = store_originals

    @classmethod
    def open(
        cls,
        url: str | None,
        *,
        default: Path,
        store_originals: bool,
        durable: bool = True,
        on_damage: Callable[[], object] = lambda: None,
    ) -> ImageStorage:
        """Open the storage at `url` (`file:///…`, `s3://…`), or in the folder `default` if `url` is None.

        Credentials of a bucket come from the environment, as AWS's own tools read them.
        """
        return cls(
            open_store(url, default=default, durable=durable), store_originals=store_originals, on_damage=on_damage
        )

    async def save(self, sha256: str, original: bytes, thumbnail: bytes) -> None:
        """Write an image's bytes and its thumbnail; writing the same bytes again changes nothing."""
        writes: list[Awaitable[object]] = [self.save_thumbnail(sha256, thumbnail)]
        if self._store_originals:
            writes.append(self._objects.write(_original(sha256), original))
        # Wait for both even if one fails, so that no write is under way when the caller cleans up.
        for outcome in await asyncio.gather(*writes, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def save_thumbnail(self, sha256: str, thumbnail: bytes) -> None:
        """Write a thumbnail alone."""
        await self._objects.write(_thumbnail(sha256), seal(thumbnail), durable=self._thumbnails_durable)

    async def original(self, sha256: str) -> bytes | None:
        """Return the bytes as they were sent, or None if they are not stored.

        Raises ImageDamaged if the stored bytes differ.
        """
        data = await self._objects.read(_original(sha256))
        if data is not None and await asyncio.to_thread(_digest, data) != sha256:
            raise self._damaged("file", _original(sha256), len(data))
        return data

    async def thumbnail(self, sha256: str) -> bytes | None:
        """Return the thumbnail as WebP, or None if there is none. Raises ImageDamaged if it is damaged."""
        return await self._unsealed("thumbnail", _thumbnail(sha256))

    async def preview(self, sha256: str) -> bytes | None:
        """Return the preview as WebP, or None if there is none. Raises ImageDamaged if it is damaged."""
        return await self._unsealed("preview", _preview(sha256))

    async def save_preview(self, sha256: str, preview: bytes) -> None:
        """Write a preview, and delete it again if the original is gone: otherwise no deletion would ever remove it."""
        await self._objects.write(_preview(sha256), seal(preview), durable=self._thumbnails_durable)
        if not await self._objects.exists(_original(sha256)):
            await self._objects.delete(_preview(sha256))

    async def is_whole(self, sha256: str) -> bool:
        """Return whether everything that `save` would write is there and undamaged."""
        try:
            original = await self.original(sha256) if self._store_originals else b""
            return original is not None and await self.thumbnail(sha256) is not None
        except ImageDamaged:
            return False

    async def has(self, sha256: str) -> bool:
        """Return whether everything that `save` would write is there; reads no bytes."""
        keys = [_thumbnail(sha256)] + ([_original(sha256)] if self._store_originals else [])
        return all(await asyncio.gather(*map(self._objects.exists, keys)))

    async def has_any(self, sha256: str) -> bool:
        """Return whether the original or the thumbnail is there, so that the image can be shown."""
        found = await asyncio.gather(*map(self._objects.exists, (_original(sha256), _thumbnail(sha256))))
        return any(found)

    async def delete(self, sha256: str) -> None:
        """Delete an image's bytes, its thumbnail and its preview; missing objects are not an error."""
        # The original first, because `save_preview` checks for it last.
        await self._objects.delete(_original(sha256))
        await self._objects.delete(_thumbnail(sha256), _preview(sha256))

    async def copy(self, sha256: str) -> StoredImage:
        """Return the stored bytes and thumbnail of an image, for `put_back`."""
        read = self._objects.read
        return StoredImage(*await asyncio.gather(read(_original(sha256)), read(_thumbnail(sha256))))

    async def put_back(self, sha256: str, copy: StoredImage) -> None:
        """Write again what `copy` returned."""
        for key, data in ((_original(sha256), copy.original), (_thumbnail(sha256), copy.thumbnail)):
            if data is not None:
                await self._objects.write(key, data)

    async def claim(self, collection: str) -> None:
        """Record that a collection may have images here."""
        await self._objects.write(f"{_USERS}/{collection}.txt", b"")

    async def claimed_by(self) -> set[str]:
        """Return the collections that have called `claim`."""
        return {Path(entry.key).stem for entry in await self._objects.entries(_USERS)}

    async def check(self) -> None:
        """Raise StoreUnavailable if the storage does not answer."""
        if self._objects.in_folder:
            # Listing a folder is free. Listing a bucket is billed at twelve times the price of a HEAD request.
            await self._objects.folders("thumbnails/none")
        elif not await self._objects.exists(PROBE):
            # The object or the bucket is missing: HEAD cannot tell which, but writing fails only if it is the bucket.
            await self._objects.write(PROBE, _PROBE_TEXT)

    async def _unsealed(self, what: str, key: str) -> bytes | None:
        sealed = await self._objects.read(key)
        if sealed is None:
            return None
        if (data := unseal(sealed)) is None:
            raise self._damaged(what, key, len(sealed))
        return data

    def _damaged(self, what: str, key: str, size: int) -> ImageDamaged:
        get_logger().error("image_damaged", key=key, bytes=size)
        self._on_damage()
        return ImageDamaged(f"The stored {what} of the image is damaged: it is not as it was written. Index it again.")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _original(sha256: str) -> str:
    # One level of 256 folders: with a million images each holds four thousand files. With a second level most writes
    # would have to make a folder first, which takes 1 to 2 ms of the 11 ms per image.
    return f"originals/{sha256[:2]}/{sha256}"


def _thumbnail(sha256: str) -> str:
    return f"thumbnails/{sha256[:2]}/{sha256}.webp"


def _preview(sha256: str) -> str:
    return f"previews/{sha256[:2]}/{sha256}.webp"
