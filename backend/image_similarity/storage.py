"""Image bytes at rest: originals and thumbnails, content-addressed, in a folder or an S3-compatible bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from image_similarity.domain import StoreUnavailable

T = TypeVar("T")


class ImageStorage:
    """Two objects an image, named by the sha256 of the original, so that the same bytes are kept once.

    Every method raises StoreUnavailable where the folder or bucket cannot be used.
    """

    def __init__(self, store: ObjectStore, *, store_originals: bool) -> None:
        self._store = store
        self._store_originals = store_originals

    @classmethod
    def open(cls, url: str | None, *, default: Path, store_originals: bool) -> ImageStorage:
        """Open the storage at `url` (`file:///…`, `s3://…`), or in the folder `default` where there is none.

        Credentials of a bucket come from the environment, as AWS's own tools read them.
        """
        try:
            if url is None or url.startswith("file://"):
                folder = default if url is None else _folder(url)
                return cls(LocalStore(folder, mkdir=True), store_originals=store_originals)
            return cls(from_url(url), store_originals=store_originals)
        except (BaseError, OSError, ValueError) as error:
            raise StoreUnavailable(f"The image storage {url or default} cannot be opened: {error}") from error

    async def save(self, sha256: str, original: bytes, thumbnail: bytes) -> None:
        """Write an image's bytes and its thumbnail; writing the same again changes nothing."""
        writes = [_guard_all(self._store.put_async(_thumbnail(sha256), thumbnail))]
        if self._store_originals:
            writes.append(_guard_all(self._store.put_async(_original(sha256), original)))
        # Both are waited for even where one fails, so that nothing is still being written when the caller cleans up.
        for outcome in await asyncio.gather(*writes, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def original(self, sha256: str) -> bytes | None:
        """Return the bytes as they were sent, or None where they are not kept."""
        return await self._read(_original(sha256))

    async def thumbnail(self, sha256: str) -> bytes | None:
        """Return the thumbnail, WebP, or None where there is none."""
        return await self._read(_thumbnail(sha256))

    async def has(self, sha256: str) -> bool:
        """Tell whether everything that `save` would write is there."""
        keys = [_thumbnail(sha256)] + ([_original(sha256)] if self._store_originals else [])
        try:
            await _guard(asyncio.gather(*(self._store.head_async(key) for key in keys)))
        except FileNotFoundError:
            return False
        return True

    async def delete(self, sha256: str) -> None:
        """Remove an image's bytes and its thumbnail; what is not there is no error."""
        await asyncio.gather(*(self._delete_one(key) for key in (_original(sha256), _thumbnail(sha256))))

    async def check(self) -> None:
        """Raise StoreUnavailable where the storage does not answer."""
        # Unlike the look at one object, a listing tells a bucket that is missing from an object that is.
        await _guard_all(self._store.list_with_delimiter_async("thumbnails/none"))

    async def _delete_one(self, key: str) -> None:
        try:
            await _guard(self._store.delete_async(key))
        except FileNotFoundError:
            return

    async def _read(self, key: str) -> bytes | None:
        try:
            answer = await _guard(self._store.get_async(key))
            return bytes(await _guard(answer.bytes_async()))
        except FileNotFoundError:
            return None


def _folder(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise ValueError("a folder on this machine is written with three slashes, file:///path")
    return Path(unquote(parts.path))


async def _guard_all(call: Awaitable[T]) -> T:
    """As `_guard`, where nothing is looked for: then it is the bucket or the folder that is missing."""
    try:
        return await _guard(call)
    except FileNotFoundError as error:
        raise StoreUnavailable(f"The image storage failed: {error}") from error


async def _guard(call: Awaitable[T]) -> T:
    """Await a call of the store; an object that is not there is left to the caller, as FileNotFoundError."""
    try:
        return await call
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:
        raise StoreUnavailable(f"The image storage failed: {error}") from error


def _original(sha256: str) -> str:
    # Two levels of folders keep each below some thousands of files at a million images.
    return f"originals/{sha256[:2]}/{sha256[2:4]}/{sha256}"


def _thumbnail(sha256: str) -> str:
    return f"thumbnails/{sha256[:2]}/{sha256[2:4]}/{sha256}.webp"
