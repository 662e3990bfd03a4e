"""Writes that were given up but may still be applied later: recorded for all replicas, and watched until they cannot.

    unsettled/COLLECTION/POINT/REVISION.given-up   an attempt that makes this revision, or removes it, may come late
    unsettled/COLLECTION/POINT/REVISION.condemned  the image was deleted after that: if this revision appears, it came
                                                   late, and is deleted

A late write can be distinguished from a newer write: each write makes a revision of its own, and no other write makes
the same one. A deletion condemns the revisions of the notes that exist at that moment, and nothing else is ever
removed. The removal itself has the condition that the image has that revision. So a newer write of any replica always
wins. A writer that is about to acknowledge a revision that it may have written twice checks here first; if the revision
is condemned, the image is written again under a new one. Nothing else needs repair, because no write overwrites or
deletes a revision that it has not read (`vectors/qdrant_server/writes.py`).

docs/decisions/0002-repeated-writes.md explains why, and which cases remain.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import orjson

from image_similarity.cache.base import Cache
from image_similarity.domain.errors import StoreUnavailable
from image_similarity.domain.records import ImageRecord
from image_similarity.engine.sweeping import run_periodically
from image_similarity.storage.objects import Entry, Objects
from image_similarity.telemetry.logging import get_logger
from image_similarity.telemetry.metrics import Metrics
from image_similarity.vectors.base import VectorStore, point_id

KEEP_SECONDS = 3600.0
"""Longer than a given-up attempt can take. Qdrant ends it within about six minutes: a node calls the leader of a shard,
and the leader the other copies, each for 62 s and at most three times (`transport_channel_pool.rs`). But a frozen node
keeps it in a socket until it continues; so this is how long a node may be frozen and come back."""

SWEEP_SECONDS = 10.0
"""Between two sweeps of a process, up to half as long again: so long an image that came back may be visible."""

PATIENCE = 5.0
"""Seconds that a writer waits for the storage of a note."""

_AT_ONCE = 64
_NAME = re.compile(r"([0-9a-f-]{36})/([0-9a-f-]{36}|none)\.(given-up|condemned)$")


class Notes:
    """The notes of one collection; implements `WriteNotes`."""

    def __init__(self, objects: Objects, metrics: Metrics, *, collection: str) -> None:
        self._objects = objects
        self._metrics = metrics
        self._folder = f"unsettled/{collection}"

    async def note(self, image_id: str, revision: str | None) -> None:
        """Record an attempt; if the storage fails, log and count that, and go on."""
        key = f"{self._folder}/{point_id(image_id)}/{revision or 'none'}.given-up"
        try:
            async with asyncio.timeout(PATIENCE):
                await self._objects.write(key, orjson.dumps({"image_id": image_id}))
        except (StoreUnavailable, TimeoutError) as error:
            self._lost("write_not_noted", image_id, error)

    async def is_condemned(self, image_id: str, revision: str) -> bool:
        """Return whether a deletion condemned this revision; False if the storage does not answer.

        Deletions cannot condemn a revision at such times either.
        """
        key = f"{self._folder}/{point_id(image_id)}/{revision}.condemned"
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._objects.read(key) is not None
        except (StoreUnavailable, TimeoutError) as error:
            self._lost("condemned_not_known", image_id, error)
            return False

    async def condemn(self, image_id: str) -> set[str]:
        """Condemn the given-up revisions of an image that was deleted or is missing; return the condemned revisions."""
        try:
            async with asyncio.timeout(PATIENCE):
                entries = await self._objects.entries(f"{self._folder}/{point_id(image_id)}")
                names = [name for entry in entries if (name := _NAME.search(entry.key)) is not None]
                revisions = {name[2] for name in names if name[2] != "none"}
                for revision in revisions - {name[2] for name in names if name[3] == "condemned"}:
                    key = f"{self._folder}/{point_id(image_id)}/{revision}.condemned"
                    await self._objects.write(key, orjson.dumps({"image_id": image_id}))
                return revisions
        except (StoreUnavailable, TimeoutError) as error:
            self._lost("revisions_not_condemned", image_id, error)
            return set()

    async def entries(self) -> list[Entry]:
        """Return all notes. Raises StoreUnavailable."""
        return await self._objects.entries(self._folder)

    async def image_id(self, key: str) -> str | None:
        """Return the image that a note is about, None if it is gone. Raises StoreUnavailable."""
        document = await self._objects.read_json(key)
        return None if document is None else str(document["image_id"])

    async def forget(self, keys: Sequence[str]) -> None:
        """Remove notes. Raises StoreUnavailable."""
        await self._objects.delete(*keys)

    def _lost(self, event: str, image_id: str, error: Exception) -> None:
        self._metrics.write_notes_lost.inc()
        get_logger().warning(event, image_id=image_id, reason=str(error) or f"no answer within {PATIENCE:g} s")


class Dropping(Protocol):
    """The part of `Trash` that is used here."""

    async def note(self, sha256: str) -> None:
        """Record that these bytes may become unused."""
        ...


class Settler:
    """Processes the notes; any number of processes may do so at once."""

    def __init__(self, notes: Notes, vectors: VectorStore, cache: Cache, trash: Dropping, metrics: Metrics) -> None:
        self._notes = notes
        self._vectors = vectors
        self._cache = cache
        self._trash = trash
        self._metrics = metrics
        self._images: dict[str, str] = {}
        self._states: dict[str, str | None] = {}
        """Revision of each image with notes at the last check, by point; absent before the first check."""

    async def is_condemned(self, record: ImageRecord) -> bool:
        """Return whether an existing image was deleted before, came back late, and is about to be removed."""
        return record.revision is not None and await self._notes.is_condemned(record.image_id, record.revision)

    async def condemn(self, image_id: str) -> bool:
        """Keep an image deleted even if an earlier write attempt is applied later; return whether one had come back.

        Call it after a deletion, before the deletion is acknowledged. Raises StoreUnavailable.
        """
        # A write that came late, but before it was condemned, is removed before the deletion is acknowledged.
        return any([await self._remove(image_id, revision) for revision in await self._notes.condemn(image_id)])

    async def sweep(self, stop: asyncio.Event | None = None) -> int:
        """Check all images with notes once; return how many had come back and were deleted.

        Raises StoreUnavailable.
        """
        points: defaultdict[str, list[tuple[Entry, re.Match[str]]]] = defaultdict(list)
        for entry in await self._notes.entries():
            if (name := _NAME.search(entry.key)) is not None:
                points[name[1]].append((entry, name))
        self._metrics.writes_unsettled.set(sum(name[3] == "given-up" for of in points.values() for _, name in of))
        for known in (self._images, self._states):
            for point in known.keys() - points.keys():
                del known[point]
        mended, all_points = 0, list(points)
        for start in range(0, len(all_points), _AT_ONCE):
            if stop is not None and stop.is_set():
                break
            mended += await self._look({point: points[point] for point in all_points[start : start + _AT_ONCE]})
        return mended

    async def run_sweeps(self, stop: asyncio.Event) -> None:
        """Sweep regularly until `stop` is set; failures are logged."""
        await run_periodically(
            lambda: self.sweep(stop),
            stop,
            seconds=SWEEP_SECONDS,
            dropped="late_writes_mended",
            failed="settling_failed",
        )

    async def _look(self, points: Mapping[str, list[tuple[Entry, re.Match[str]]]]) -> int:
        for point, notes in points.items():
            if point not in self._images and (image_id := await self._notes.image_id(notes[0][0].key)) is not None:
                self._images[point] = image_id
        images = {self._images[point]: point for point in points if point in self._images}
        records = await self._vectors.get_many(list(images))
        mended = 0
        changed: list[str] = []
        for image_id, point in images.items():
            record = records.get(image_id)
            condemned = {name[2] for _, name in points[point] if name[3] == "condemned"}
            if record is not None and record.revision is not None and record.revision in condemned:
                mended += await self._remove(image_id, record.revision)
                record = None
            state = record.revision if record is not None else None
            # Also at the first check, because the write may have been applied after the writer invalidated the cache.
            if point not in self._states or self._states[point] != state:
                changed.append(image_id)
            self._states[point] = state
        if changed:
            await self._cache.advance_generation(*changed)
        # Last, so that an expired note has been checked once more.
        oldest = datetime.now(UTC) - timedelta(seconds=KEEP_SECONDS)
        seen = [entry for notes in points.values() for entry, _ in notes]
        await self._notes.forget([entry.key for entry in seen if entry.modified < oldest])
        return mended

    async def _remove(self, image_id: str, revision: str) -> bool:
        removed: ImageRecord | None = await self._vectors.delete(image_id, revision=revision)
        if removed is None:
            return False
        get_logger().warning("deleted_image_came_back", image_id=image_id, revision=revision)
        self._metrics.writes_mended.inc()
        await self._cache.advance_generation(image_id)
        await self._trash.note(removed.sha256)
        return True
