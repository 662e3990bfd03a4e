"""Deleted images that can still be restored, and bytes that are no longer needed.

    trash/COLLECTION/bytes/SHA256/DUE.POINT.UUID  empty: bytes that may be unused, the time at which to check them
                                                  (milliseconds since the epoch), and the deletion that caused it
    trash/COLLECTION/images/POINT/UUID            the record and the vector of a deletion that can be undone
    trash/COLLECTION/begun/UUID                   contents that are being written; see begun.py

Every write after which some bytes may be unused first stores an entry below `bytes`. No entry is written twice, because
each has a new UUID. An entry is removed last, after it was settled, so a kill at any moment leaves at most one
unnecessary entry. When all entries of a content are due, `sweep` drops the bytes, unless a record has them.

**Many processes** may write and sweep at once, without a common lock. A content is *needed* if a record or an entry
that is not due has it. A writer saves the bytes, then the record, then checks whether the bytes are still there, and if
not saves them again. A sweeper copies the bytes to memory, drops them, then checks whether they are needed, and if so
puts them back. If both work on the same content, there are two cases: either the sweeper finds the record and puts the
bytes back, or the record was written later, after the bytes were dropped, and then its writer finds that they are
missing. If this process is **alone** with the collection, a lock per content is used instead.

**Several collections** may share a storage, and so the same bytes, but none can count the records of another. So each
collection registers in the storage, and if there are several, no bytes are dropped.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from time import time
from typing import Any

import numpy as np
import orjson
from uuid_utils import uuid7

from image_similarity.concurrency.locks import KeyedLocks
from image_similarity.domain.errors import StoreUnavailable
from image_similarity.domain.records import Embedding, ImageRecord, Tagging
from image_similarity.engine.collection.begun import Begun
from image_similarity.engine.sweeping import run_periodically
from image_similarity.storage.images import ImageStorage
from image_similarity.storage.objects import Objects
from image_similarity.telemetry.logging import get_logger
from image_similarity.vectors.base import VectorStore, point_id

SETTLE_SECONDS = 60.0
"""Extra time for entries if several processes share the collection: longer than a request that began just before the
entry was due, and than the difference of clocks."""

SWEEP_SECONDS = 30.0
"""Between two sweeps of a process."""

_NOBODY = "-"
_NAME = re.compile(r"([0-9a-f]{64})/(\d+)\.(-|[0-9a-f-]{36})\.([0-9a-f-]{36})$")


@dataclass(frozen=True, slots=True)
class DeletedImage:
    """An image that can be restored."""

    record: ImageRecord
    vector: Embedding
    keys: tuple[str, str]
    """Keys of its document and of its entry."""


@dataclass(frozen=True, slots=True)
class _Entry:
    key: str
    sha256: str
    due: float
    """Seconds since the epoch."""
    deletion: str | None
    """POINT/UUID of a deletion that can be undone until then."""


class Trash:
    """The trash of one collection. Every method raises StoreUnavailable if storage or store do not answer."""

    def __init__(
        self,
        objects: Objects,
        storage: ImageStorage,
        vectors: VectorStore,
        *,
        collection: str,
        model: str,
        alone: bool,
        neighbours: Collection[str] = (),
    ) -> None:
        """`alone`: no other process writes to the collection or sweeps it.

        `neighbours` are other collections that may have images in the storage, in addition to the registered ones.
        """
        self.alone = alone
        self.contents = KeyedLocks()
        """Locks of this process by content, for writing a record with it or dropping it."""
        self._objects = objects
        self._storage = storage
        self._vectors = vectors
        self._bytes = f"trash/{collection}/bytes"
        self._images = f"trash/{collection}/images"
        self._model = model
        self._collection = collection
        self._neighbours = neighbours
        self._claimed = False
        self._told_of: set[str] = set()
        self.begun = Begun(objects, collection=collection, alone=alone)
        """Notes for writers of contents."""

    async def put(self, record: ImageRecord, vector: Embedding | None, seconds: float) -> datetime | None:
        """Record that an image is about to be deleted; return until when it can be restored.

        Without a `vector`, neither this nor any earlier deletion of the id can be undone, and None is returned.
        """
        folder = f"{self._images}/{point_id(record.image_id)}"
        if vector is None:
            await self.note(record.sha256)
            await self._objects.delete_all(folder)
            return None
        until = datetime.fromtimestamp(time() + seconds, UTC)
        deletion = str(uuid7())
        entry = await self._write(record.sha256, f"{point_id(record.image_id)}.{deletion}", seconds)
        fields = asdict(record)
        # A restored record gets a new revision, and earlier versions of the program do not know the field.
        del fields["revision"]
        document = {
            "entry": entry,
            "until": until,
            "model": self._model,
            "record": fields,
            "vector": base64.b64encode(vector.astype("<f4").tobytes()).decode(),
        }
        await self._objects.write(f"{folder}/{deletion}", orjson.dumps(document))
        return until

    async def note(self, sha256: str, seconds: float = 0) -> None:
        """Record that these bytes may become unused; keep them for so many seconds."""
        await self._write(sha256, f"{_NOBODY}.{uuid7()}", seconds)

    async def find(self, image_id: str) -> DeletedImage | None:
        """Return the image of the last deletion, or None if it is too late to restore it."""
        deletions = await self._objects.entries(f"{self._images}/{point_id(image_id)}")
        if not deletions:
            return None
        # Entries are sorted by key, and UUIDv7s by time.
        key = deletions[-1].key
        fields: dict[str, Any] = await self._objects.read_json(key) or {}
        # The collection may have been created again with another model; then the vector is useless.
        if fields.get("model") != self._model or datetime.fromisoformat(fields["until"]).timestamp() < time():
            return None
        raw: dict[str, Any] = fields["record"]
        read = {"indexed_at": datetime.fromisoformat(raw["indexed_at"]), "tagging": Tagging.read(raw.get("tagging"))}
        record = ImageRecord(**(raw | read))
        return DeletedImage(
            record, np.frombuffer(base64.b64decode(fields["vector"]), dtype="<f4"), (key, fields["entry"])
        )

    async def take_out(self, deleted: DeletedImage) -> None:
        """Remove a deletion after its image was restored."""
        await self._objects.delete(*deleted.keys)

    async def settle(self, sha256: str) -> None:
        """Drop these bytes if they are not needed; only if `alone`, because it drops them at once.

        An error here does not undo the write before it; `sweep` tries again.
        """
        async with self.contents.of(sha256):
            try:
                await self._settle(sha256, await self._entries(sha256))
            except StoreUnavailable as error:
                get_logger().warning("unused_bytes_kept", sha256=sha256, reason=str(error))

    async def claim(self) -> None:
        """Register the collection in the storage, before it has images there."""
        if not self._claimed:
            await self._storage.claim(self._collection)
            self._claimed = True

    async def sweep(self, stop: asyncio.Event | None = None) -> int:
        """Settle all due entries, or stop early if `stop` is set; return how many contents were dropped."""
        await self.claim()
        dropped = await self._settle_left(stop)
        contents: defaultdict[str, list[_Entry]] = defaultdict(list)
        for entry in await self._entries():
            contents[entry.sha256].append(entry)
        for sha256, entries in contents.items():
            if stop is not None and stop.is_set():
                break
            if any(entry.due <= time() for entry in entries):
                async with self.contents.of(sha256):
                    dropped += await self._settle(sha256, entries)
        return dropped

    async def run_sweeps(self, stop: asyncio.Event) -> None:
        """Sweep regularly until `stop` is set; failures are logged."""
        await run_periodically(
            lambda: self.sweep(stop), stop, seconds=SWEEP_SECONDS, dropped="unused_bytes_dropped", failed="sweep_failed"
        )

    async def _settle_left(self, stop: asyncio.Event | None) -> int:
        """Settle the contents that killed processes were writing; return how many were dropped."""
        dropped = 0
        for key, left in (await self.begun.left()).items():
            if stop is not None and stop.is_set():
                break
            for sha256 in left:
                async with self.contents.of(sha256):
                    dropped += await self._settle(sha256, await self._entries(sha256))
            await self.begun.forget(key)
        return dropped

    async def _settle(self, sha256: str, entries: Sequence[_Entry]) -> bool:
        """Remove the due entries of a content, and drop it if it is not needed; return whether it was dropped."""
        # One time for all checks: an entry that becomes due meanwhile still counts as not due, and is not removed.
        now = time()
        dropped = not await self._is_needed(sha256, now) and await self._drop(sha256, now)
        due = [entry for entry in entries if entry.due <= now]
        await self._objects.delete(*(f"{self._images}/{entry.deletion}" for entry in due if entry.deletion))
        await self._objects.delete(*(entry.key for entry in due))
        return dropped

    async def _is_needed(self, sha256: str, now: float) -> bool:
        # In this order, because a deletion writes its entry before it removes the record.
        if await self._vectors.count_content(sha256):
            return True
        return any(entry.due > now for entry in await self._entries(sha256))

    async def _is_shared(self) -> bool:
        """Return whether other collections, whose records cannot be counted here, use the storage; log their names."""
        others = {*await self._storage.claimed_by(), *self._neighbours} - {self._collection}
        if others > self._told_of:
            self._told_of = others
            get_logger().warning("storage_shared", collections=sorted(others), effect="no image's bytes are dropped")
        return bool(others)

    async def _drop(self, sha256: str, now: float) -> bool:
        if await self._is_shared():
            return False
        if self.alone:
            await self._storage.delete(sha256)
            return True
        copy = await self._storage.copy(sha256)
        if copy.is_empty:
            # There is nothing to drop, and nothing to put back if another process is saving it at this moment.
            return False
        needed = True
        try:
            await self._storage.delete(sha256)
            needed = await self._is_needed(sha256, now)
        finally:
            # Also if the check failed; the entries are still there then.
            if needed:
                await self._storage.put_back(sha256, copy)
        return not needed

    async def _write(self, sha256: str, deletion: str, seconds: float) -> str:
        due = time() + seconds + (0 if self.alone else SETTLE_SECONDS)
        # Rounded down, so that an entry with 0 seconds is due at once.
        key = f"{self._bytes}/{sha256}/{int(due * 1000):014}.{deletion}"
        await self._objects.write(key, b"")
        return key

    async def _entries(self, sha256: str | None = None) -> list[_Entry]:
        folder = self._bytes if sha256 is None else f"{self._bytes}/{sha256}"
        return list(_read_names(entry.key for entry in await self._objects.entries(folder)))


def _read_names(keys: Iterable[str]) -> Iterator[_Entry]:
    for key in keys:
        if (name := _NAME.search(key)) is not None:
            sha256, due, point, number = name.groups()
            yield _Entry(key, sha256, int(due) / 1000, None if point == _NOBODY else f"{point}/{number}")
