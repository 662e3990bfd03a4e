"""What was deleted and can still be brought back, and the bytes that nothing needs any more.

    trash/COLLECTION/bytes/SHA256/DUE.POINT.UUID  empty: some bytes that may be unused, when that is to be looked at
                                                  (milliseconds since the epoch), and the deletion that it is of
    trash/COLLECTION/images/POINT/UUID            the record and the vector of a deletion that can be undone
    trash/COLLECTION/begun/UUID                   contents that are being written; see begun.py

Every write that may be the last to need some bytes first leaves an entry below `bytes`. Nothing is written twice, UUIDs
being new, and an entry is removed last by whoever has settled it, so that a kill at any moment leaves at most an entry
more than is needed. Once all entries of a content are due, `sweep` drops the bytes, unless some record has them.

**Many processes** may write and sweep at once, and no lock reaches over them all. Content is *needed* while a record
has it or an entry that is not due. Who writes a record saves the bytes, then the record, and then looks whether the
bytes are still there, and if not saves them again. Who sweeps keeps a copy of the bytes, drops them, and then looks
whether they are needed, and if so puts them back. Let the two meet: either the record was there when the sweeper
looked, which then puts the bytes back, or the record came later, hence after the bytes were dropped, and then its
writer sees that they are missing. In a collection that is **alone** in its process, a lock per content does instead.

**Several collections** may have one storage, and so the same bytes, and none can count the records of another. So each
says in the storage that it uses it, and where there are several, no bytes are dropped.
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
"""What entries of several processes are kept beyond their time: longer than a request that met the end of it takes, and
than clocks are apart."""

SWEEP_SECONDS = 30.0
"""Between two sweeps of a process."""

_NOBODY = "-"
_NAME = re.compile(r"([0-9a-f]{64})/(\d+)\.(-|[0-9a-f-]{36})\.([0-9a-f-]{36})$")


@dataclass(frozen=True, slots=True)
class DeletedImage:
    """An image that can be brought back."""

    record: ImageRecord
    vector: Embedding
    keys: tuple[str, str]
    """Of this and of its entry."""


@dataclass(frozen=True, slots=True)
class _Entry:
    key: str
    sha256: str
    due: float
    """Seconds since the epoch."""
    deletion: str | None
    """POINT/UUID of a deletion that can be undone until then."""


class Trash:
    """Entries of one collection. Every method raises StoreUnavailable where storage or store do not answer."""

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
        """`alone` says that no other process writes to the collection or sweeps it.

        `neighbours` are other collections that may have images in the storage, beside those that say so there.
        """
        self.alone = alone
        self.contents = KeyedLocks()
        """Held by whoever writes a record of a content, or drops it, in this process."""
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
        """For whoever writes a content."""

    async def put(self, record: ImageRecord, vector: Embedding | None, seconds: float) -> datetime | None:
        """Note that an image is about to be deleted; returns until when it can be restored, given its vector.

        Without one, no earlier deletion of the id can be undone either.
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
        # What is restored gets a revision of its own, and earlier versions know of none.
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
        """Note that a record is about to lose these bytes, or may never have them; keep them for so many seconds."""
        await self._write(sha256, f"{_NOBODY}.{uuid7()}", seconds)

    async def find(self, image_id: str) -> DeletedImage | None:
        """Return the image as it was when it was last deleted, or None where it is too late to restore it."""
        deletions = await self._objects.entries(f"{self._images}/{point_id(image_id)}")
        if not deletions:
            return None
        # By key, and UUIDv7s grow with time.
        key = deletions[-1].key
        fields: dict[str, Any] = await self._objects.read_json(key) or {}
        # A collection may have been made anew with another model, whose vectors are others.
        if fields.get("model") != self._model or datetime.fromisoformat(fields["until"]).timestamp() < time():
            return None
        raw: dict[str, Any] = fields["record"]
        read = {"indexed_at": datetime.fromisoformat(raw["indexed_at"]), "tagging": Tagging.read(raw.get("tagging"))}
        record = ImageRecord(**(raw | read))
        return DeletedImage(
            record, np.frombuffer(base64.b64decode(fields["vector"]), dtype="<f4"), (key, fields["entry"])
        )

    async def take_out(self, deleted: DeletedImage) -> None:
        """Forget a deletion, once its image is restored."""
        await self._objects.delete(*deleted.keys)

    async def settle(self, sha256: str) -> None:
        """Drop these bytes where nothing needs them; for a collection alone, which may do so at once.

        What fails here does not undo the write that came before, and is left to `sweep`.
        """
        async with self.contents.of(sha256):
            try:
                await self._settle(sha256, await self._entries(sha256))
            except StoreUnavailable as error:
                get_logger().warning("unused_bytes_kept", sha256=sha256, reason=str(error))

    async def claim(self) -> None:
        """Say in the storage that the collection may have images there, before it has any."""
        if not self._claimed:
            await self._storage.claim(self._collection)
            self._claimed = True

    async def sweep(self, stop: asyncio.Event | None = None) -> int:
        """Settle everything that is due, or what `stop` leaves time for; returns how many contents were dropped."""
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
        """Sweep now and then, whatever fails, until told to stop."""
        await run_periodically(
            lambda: self.sweep(stop), stop, seconds=SWEEP_SECONDS, dropped="unused_bytes_dropped", failed="sweep_failed"
        )

    async def _settle_left(self, stop: asyncio.Event | None) -> int:
        """Settle what killed processes were writing; returns how many contents were dropped."""
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
        """Remove the due entries of a content, and the content where it is not needed; tells whether it was dropped."""
        # One moment for all: an entry that becomes due meanwhile is neither removed here nor passed over.
        now = time()
        dropped = not await self._is_needed(sha256, now) and await self._drop(sha256, now)
        due = [entry for entry in entries if entry.due <= now]
        await self._objects.delete(*(f"{self._images}/{entry.deletion}" for entry in due if entry.deletion))
        await self._objects.delete(*(entry.key for entry in due))
        return dropped

    async def _is_needed(self, sha256: str, now: float) -> bool:
        # In this order: who deletes a record writes the entry first.
        if await self._vectors.count_content(sha256):
            return True
        return any(entry.due > now for entry in await self._entries(sha256))

    async def _is_shared(self) -> bool:
        """Tell whether other collections use the storage, whose records nobody can count here; logs which."""
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
            # Nothing is there to drop, or to put back where someone saves it at this moment.
            return False
        needed = True
        try:
            await self._storage.delete(sha256)
            needed = await self._is_needed(sha256, now)
        finally:
            # Also where it could not be found out; its entries are still there then.
            if needed:
                await self._storage.put_back(sha256, copy)
        return not needed

    async def _write(self, sha256: str, deletion: str, seconds: float) -> str:
        due = time() + seconds + (0 if self.alone else SETTLE_SECONDS)
        # Rounded down, so that what is due at once is.
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
