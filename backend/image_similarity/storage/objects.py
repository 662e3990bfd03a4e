"""A folder or a bucket as small objects under keys: what both images and jobs are kept in."""

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
"""Prefix of the documents that were set aside."""

_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
"""Names that are the same in a folder and in a bucket; what is being written to a folder has none of these."""

_LONGEST_KEY, _LONGEST_NAME = 1024, 255
"""Bytes: what S3 takes as a key, and file systems as one name of a path."""

_UNFINISHED = re.compile(r"#\d+$")
"""Ends of names that a folder's own unfinished writes have."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a listing tells of an object."""

    key: str
    modified: datetime
    """UTC, by the storage's clock."""


class Objects:
    """Whole objects, written atomically: a reader sees all of one or nothing.

    Every method raises StoreUnavailable where the folder or bucket cannot be used.
    """

    def __init__(self, store: ObjectStore, *, on_damage: Callable[[], object] = lambda: None) -> None:
        """`on_damage` is called for each document that is found damaged."""
        self._store = store
        self._unsynced = without_syncs(store)
        self._on_damage = on_damage

    @classmethod
    def open(
        cls, url: str | None, *, default: Path, durable: bool = True, on_damage: Callable[[], object] = lambda: None
    ) -> Objects:
        """Open as `open_store` does."""
        return cls(open_store(url, default=default, durable=durable), on_damage=on_damage)

    async def write(self, key: str, data: bytes, *, durable: bool = True) -> None:
        """Write an object; one that is there is replaced. One that is not `durable` may be lost in a power cut."""
        await translate_all_errors((self._store if durable else self._unsynced).put_async(key, data))

    async def create(self, key: str, data: bytes) -> bool:
        """Write an object unless it is there; tells whether it was written. Of several writers, one succeeds."""
        try:
            await translate_all_errors(self._store.put_async(key, data, mode="create"))
        except AlreadyExistsError:
            return False
        return True

    async def read(self, key: str) -> bytes | None:
        """Return an object's bytes, or None where there is none."""
        try:
            answer = await translate_errors(self._store.get_async(key))
            return bytes(await translate_errors(answer.bytes_async()))
        except FileNotFoundError:
            return None

    async def read_foreign(self, key: str, *, max_bytes: int) -> bytes | None:
        """Return the bytes of an object below `inbox/`, or None if there is none.

        Raises InvalidRequest if it is larger, or in a folder anything but a plain file.
        """
        if isinstance(self._store, LocalStore) and self._store.prefix is not None:
            try:
                return await asyncio.to_thread(read_file, Path(self._store.prefix), key, max_bytes)
            except OSError as error:
                raise _failed(error) from error
        try:
            answer = await translate_errors(self._store.get_async(key))
            check_size(key, answer.meta["size"], max_bytes)
            return bytes(await translate_errors(answer.bytes_async()))
        except FileNotFoundError:
            return None

    async def read_json(self, key: str) -> Any:
        """Return a document, or None if there is none. One that is no JSON (torn by a power cut) counts as none.

        It is set aside below `damaged/`, for whoever wants to look what is left of it.
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
            # A folder that another process removed while it was being read.
            return []
        except (BaseError, OSError) as error:
            raise _failed(error) from error
        return sorted(found, key=lambda entry: entry.key)

    async def names(self, prefix: str, *, after: str, limit: int) -> list[str]:
        """Return the first `limit` (1 or more) names right below a prefix that come after `after`, in order.

        Of names made of letters, digits, dots, dashes and underscores; there must be nothing but objects right below
        the prefix. Costs about what is returned: a bucket is asked from `after` on, in the order of keys, as buckets
        list; of a folder all names are read, for it has no order, but of the files behind them nothing.
        """
        if isinstance(self._store, LocalStore) and self._store.prefix is not None:
            return await asyncio.to_thread(_names, Path(self._store.prefix) / prefix, after, limit)
        found: list[str] = []
        # Without an offset where all is wanted: it has to be a key below the prefix.
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
        """Return the names right below a prefix that have something below them, sorted."""
        answer = await translate_all_errors(self._store.list_with_delimiter_async(prefix))
        return sorted(str(path).rpartition("/")[2] for path in answer["common_prefixes"])

    async def delete(self, *keys: str) -> None:
        """Remove objects; what is not there is no error."""
        for start in range(0, len(keys), _DELETES_AT_ONCE):
            await asyncio.gather(*(self._delete(key) for key in keys[start : start + _DELETES_AT_ONCE]))

    async def delete_all(self, prefix: str) -> None:
        """Remove everything below a prefix."""
        await self.delete(*(entry.key for entry in await self.entries(prefix)))

    async def _delete(self, key: str) -> None:
        try:
            await translate_errors(self._store.delete_async(key))
        except FileNotFoundError:
            return


def check_key(key: str) -> None:
    """Raise InvalidRequest for a key that folders or buckets refuse whatever lies there."""
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
"""What callers are told, by what an error says; they are to learn neither paths nor addresses of this server."""


def _failed(error: Exception) -> StoreUnavailable:
    """Return what callers are told of an error, and log all of it for the operator."""
    said = in_one_line(error)
    get_logger().error("storage_failed", error=said)
    why = next((told for text, told in _CAUSES.items() if text in str(error).lower()), "the server's log says why")
    kind = DiskFull if why in _FULL else StoreUnavailable
    return kind(f"The image storage failed: {why}.")


async def translate_all_errors(call: Awaitable[T]) -> T:
    """As `translate_errors`, where nothing is looked for: then it is the bucket or the folder that is missing."""
    try:
        return await translate_errors(call)
    except FileNotFoundError as error:
        raise _failed(error) from error


async def translate_errors(call: Awaitable[T]) -> T:
    """Await a call to obstore. Raises StoreUnavailable, and as they are FileNotFoundError and AlreadyExistsError."""
    try:
        return await call
    except (FileNotFoundError, AlreadyExistsError):
        raise
    except (BaseError, OSError) as error:
        raise _failed(error) from error


def open_store(url: str | None, *, default: Path, durable: bool = True) -> ObjectStore:
    """Return the store at `url` (`file:///…`, `s3://…`), or the folder `default` where there is none.

    What is written to a folder is on the disk when the call returns, unless it need not be `durable`.

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
    """Return the same store, for what can be made anew: its writes do not wait for the disk of a folder."""
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
