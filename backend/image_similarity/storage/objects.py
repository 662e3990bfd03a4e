"""Small objects by key, in a folder or a bucket; used for images and jobs."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from heapq import nsmallest
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import orjson
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore

from image_similarity.domain.errors import DiskFull, InvalidRequest, StoreUnavailable
from image_similarity.filesystem.synced import SyncedStore
from image_similarity.storage.buckets import in_one_line, open_bucket
from image_similarity.storage.inbox import check_size, read_file
from image_similarity.telemetry.logging import get_logger

T = TypeVar("T")

_DELETES_AT_ONCE = 64

DAMAGED = "damaged"
"""Prefix that damaged documents are moved to."""

_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
"""Names that are the same in a folder and in a bucket; excludes the drafts of writes under way in a folder."""

_LONGEST_KEY, _LONGEST_NAME = 1024, 255
"""Maximum bytes of a key in S3, and of one name of a path in file systems."""

_UNFINISHED = re.compile(r"#\d+$")
"""Suffix that obstore gives to the drafts of its writes in a folder."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object in a listing."""

    key: str
    modified: datetime
    """UTC, by the clock of the storage."""


class Objects:
    """Reads and writes whole objects atomically: a reader sees a whole object or none.

    Every method raises StoreUnavailable if the folder or bucket cannot be used.
    """

    def __init__(self, store: ObjectStore, *, on_damage: Callable[[], object] = lambda: None) -> None:
        """`on_damage` is called for each damaged document that is read."""
        self._store = store
        self._unsynced = without_syncs(store)
        self._on_damage = on_damage
        self._folder = Path(store.prefix) if isinstance(store, LocalStore) and store.prefix is not None else None

    @property
    def in_folder(self) -> bool:
        """Whether the objects are files in a folder; if not, they are in a bucket."""
        return self._folder is not None

    @classmethod
    def open(
        cls, url: str | None, *, default: Path, durable: bool = True, on_damage: Callable[[], object] = lambda: None
    ) -> Objects:
        """Open as `open_store` does."""
        return cls(open_store(url, default=default, durable=durable), on_damage=on_damage)

    async def write(self, key: str, data: bytes, *, durable: bool = True) -> None:
        """Write or replace an object. If it is not `durable`, a power cut may lose it."""
        await translate_all_errors((self._store if durable else self._unsynced).put_async(key, data))

    async def create(self, key: str, data: bytes) -> bool:
        """Write an object unless it exists; return whether it was written. Of several writers, one succeeds."""
        try:
            await translate_all_errors(self._store.put_async(key, data, mode="create"))
        except AlreadyExistsError:
            return False
        return True

    async def read(self, key: str) -> bytes | None:
        """Return the bytes of an object, or None if there is none."""
        try:
            answer = await translate_errors(self._store.get_async(key))
            return bytes(await translate_errors(answer.bytes_async()))
        except FileNotFoundError:
            return None

    async def exists(self, key: str) -> bool:
        """Return whether there is an object under this key."""
        try:
            await translate_errors(self._store.head_async(key))
        except FileNotFoundError:
            return False
        return True

    async def read_foreign(self, key: str, *, max_bytes: int) -> bytes | None:
        """Return the bytes of an object below `inbox/`, or None if there is none.

        Raises InvalidRequest if it has more than `max_bytes`, or if it is in a folder and not a plain file.
        """
        if self._folder is not None:
            try:
                return await asyncio.to_thread(read_file, self._folder, key, max_bytes)
            except OSError as error:
                raise _failed(error) from error
        try:
            answer = await translate_errors(self._store.get_async(key))
            check_size(key, answer.meta["size"], max_bytes)
            return bytes(await translate_errors(answer.bytes_async()))
        except FileNotFoundError:
            return None

    async def read_json(self, key: str) -> Any:
        """Return a parsed JSON document, or None if there is none or it is not JSON (torn by a power cut).

        A damaged document is moved below `damaged/`, so that an operator can inspect it.
        """
        document = await self.read(key)
        if document is None:
            return None
        try:
            return orjson.loads(document)
        except orjson.JSONDecodeError as error:
            get_logger().error("document_damaged", key=key, bytes=len(document), reason=str(error))
            self._on_damage()
            await self.write(f"{DAMAGED}/{key}", document)
            await self.delete(key)
            return None

    async def entries(self, prefix: str) -> list[Entry]:
        """Return everything below a prefix (whole path segments, no slash at its end), by key."""
        found: list[Entry] = []
        stream = self._store.list(prefix)
        try:
            async for page in stream:
                found += (Entry(str(entry["path"]), entry["last_modified"]) for entry in page)
        except FileNotFoundError:
            # Another process removed the folder while we read it.
            return []
        except (BaseError, OSError) as error:
            raise _failed(error) from error
        return sorted(found, key=lambda entry: entry.key)

    async def names(self, prefix: str, *, after: str, limit: int) -> list[str]:
        """Return the first `limit` (1 or more) names right below a prefix that come after `after`, in order.

        Returns only names made of letters, digits, dots, dashes and underscores; there must be only objects right
        below the prefix. A bucket lists in the order of keys, so only keys after `after` are requested. A folder has
        no order, so all its names are read, but none of its files.
        """
        if self._folder is not None:
            return await asyncio.to_thread(_names, self._folder / prefix, after, limit)
        found: list[str] = []
        # No offset for an empty `after`: an offset must be a key below the prefix.
        offset = f"{prefix}/{after}" if after else None
        try:
            async for page in self._store.list(prefix, offset=offset, chunk_size=limit):
                names = (str(entry["path"]).rpartition("/")[2] for entry in page)
                found += (name for name in names if _PLAIN.fullmatch(name))
                if len(found) >= limit:
                    break
        except (BaseError, OSError) as error:
            raise _failed(error) from error
        return found[:limit]

    async def folders(self, prefix: str) -> list[str]:
        """Return the sorted names right below a prefix that have objects below them."""
        answer = await translate_all_errors(self._store.list_with_delimiter_async(prefix))
        return sorted(str(path).rpartition("/")[2] for path in answer["common_prefixes"])

    async def delete(self, *keys: str) -> None:
        """Delete objects; missing ones are not an error."""
        for start in range(0, len(keys), _DELETES_AT_ONCE):
            await asyncio.gather(*(self._delete(key) for key in keys[start : start + _DELETES_AT_ONCE]))

    async def delete_all(self, prefix: str) -> None:
        """Delete all objects below a prefix."""
        await self.delete(*(entry.key for entry in await self.entries(prefix)))

    async def _delete(self, key: str) -> None:
        try:
            await translate_errors(self._store.delete_async(key))
        except FileNotFoundError:
            return


def check_key(key: str) -> None:
    """Raise InvalidRequest for a key that a folder or a bucket never accepts."""
    if len(key.encode(errors="surrogatepass")) > _LONGEST_KEY:
        raise InvalidRequest(f"A storage key has at most {_LONGEST_KEY} bytes; this one begins {key[:60]!r}.")
    for name in key.split("/"):
        if len(name.encode(errors="surrogatepass")) > _LONGEST_NAME:
            raise InvalidRequest(
                f"Between two slashes of a storage key there are at most {_LONGEST_NAME} bytes; got {name[:60]!r}…"
            )
        if _UNFINISHED.search(name):
            raise InvalidRequest(f'No name in a storage key ends in "#" and digits; rename {name[:120]!r}.')


def _names(folder: Path, after: str, limit: int) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            names = (entry.name for entry in entries if entry.name > after)
            return nsmallest(limit, (name for name in names if _PLAIN.fullmatch(name)))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _failed(error) from error


_FULL = ("its disk is full", "its quota is used up")

_CAUSES = {
    "no space left": _FULL[0],
    "os error 28": _FULL[0],
    "disk quota": _FULL[1],
    "permission denied": "access to it is denied",
    "read-only file system": "it is read-only",
    "too many open files": "the process has too many files open",
    "timed out": "it did not answer in time",
    "error sending request": "its server cannot be reached",
}
"""Text of an error to the cause that callers are given; callers must not learn paths or addresses of this server."""


def _failed(error: Exception) -> StoreUnavailable:
    """Return the error for callers, and log the full text for the operator."""
    said = in_one_line(error)
    get_logger().error("storage_failed", error=said)
    why = next((told for text, told in _CAUSES.items() if text in str(error).lower()), "the server's log says why")
    kind = DiskFull if why in _FULL else StoreUnavailable
    return kind(f"The image storage failed: {why}.")


async def translate_all_errors(call: Awaitable[T]) -> T:
    """As `translate_errors`, if no object is needed: FileNotFoundError then means that folder or bucket is missing."""
    try:
        return await translate_errors(call)
    except FileNotFoundError as error:
        raise _failed(error) from error


async def translate_errors(call: Awaitable[T]) -> T:
    """Await a call to obstore. Raises StoreUnavailable; FileNotFoundError and AlreadyExistsError pass unchanged."""
    try:
        return await call
    except (FileNotFoundError, AlreadyExistsError):
        raise
    except (BaseError, OSError) as error:
        raise _failed(error) from error


def open_store(url: str | None, *, default: Path, durable: bool = True) -> ObjectStore:
    """Return the store at `url` (`file:///…`, `s3://…`), or the folder `default` if `url` is None.

    With `durable`, a write to a folder is synced to disk before it returns.

    Credentials of a bucket come from the environment, as AWS's own tools read them. Raises StoreUnavailable.
    """
    try:
        if url is None or url.startswith("file://"):
            folder = default if url is None else _folder(url)
            kind = SyncedStore if durable else LocalStore
            return kind(folder, mkdir=True, automatic_cleanup=True)
        return open_bucket(url)
    except (BaseError, OSError, ValueError) as error:
        raise StoreUnavailable(f"The image storage {url or default} cannot be opened: {in_one_line(error)}") from error


def without_syncs(store: ObjectStore) -> ObjectStore:
    """Return the same store without syncs, for objects that can be made again."""
    if not isinstance(store, SyncedStore):
        return store
    return LocalStore(store.prefix, mkdir=True, automatic_cleanup=True)


def local_folder(url: str | None) -> Path | None:
    """Return the folder that a `file:///…` URL names, None for a bucket or no URL. Raises ValueError."""
    return _folder(url) if url is not None and url.startswith("file://") else None


def _folder(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise ValueError("a folder on this machine is written with three slashes, file:///path")
    return Path(unquote(parts.path))
