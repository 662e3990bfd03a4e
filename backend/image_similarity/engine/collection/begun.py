"""Notes of contents that are being written, stored before their bytes: they show what a killed process left behind.

    trash/COLLECTION/begun/UUID  the digests of some contents, one per line, until the last of their writes has ended

Searching the storage for bytes that no record names is not possible, because several collections may share a storage,
and a process sees only the records of its own collection.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from uuid_utils import uuid7

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.storage.objects import Objects

KEEP_SECONDS = 3600.0
"""Longer than any write, and than the difference of clocks; an older note belongs to a dead process."""

_DIGEST = re.compile(rb"^[0-9a-f]{64}$", re.MULTILINE)


@dataclass(slots=True)
class _Note:
    """One document for all writes that begin at the same moment, so that they share the cost of storing it."""

    key: str
    contents: list[str] = field(default_factory=list)
    writing: asyncio.Task[None] | None = None
    left: int = 0


class Begun:
    """The notes of one collection. Every method raises StoreUnavailable if the storage does not answer."""

    def __init__(self, objects: Objects, *, collection: str, alone: bool) -> None:
        """`alone`: no other process writes to the collection, so notes that are not ours belong to dead processes."""
        self._objects = objects
        self._folder = f"trash/{collection}/begun"
        self._alone = alone
        self._one_at_a_time = asyncio.Lock()
        self._next: _Note | None = None
        self._own: set[str] = set()

    @asynccontextmanager
    async def writing(self, sha256: str) -> AsyncIterator[None]:
        """Keep a note of a content while the block runs."""
        note = self._next
        if note is None:
            note = self._next = _Note(f"{self._folder}/{uuid7()}")
            note.writing = asyncio.create_task(self._write(note))
        note.contents.append(sha256)
        note.left += 1
        try:
            assert note.writing is not None  # noqa: S101 - set with it
            await asyncio.shield(note.writing)
            yield
        finally:
            note.left -= 1
            # If it is not written yet, all callers were cancelled, and `_write` removes it.
            if not note.left and note.writing is not None and note.writing.done():
                await self._remove(note)

    async def left(self) -> dict[str, list[str]]:
        """Return the contents that dead processes were writing, by the key of the note."""
        oldest = datetime.now(UTC) - timedelta(seconds=KEEP_SECONDS)
        found: dict[str, list[str]] = {}
        for entry in await self._objects.entries(self._folder):
            if entry.key not in self._own and (self._alone or entry.modified < oldest):
                # A power cut may have truncated it; only complete lines match.
                text = await self._objects.read(entry.key) or b""
                found[entry.key] = [line.decode() for line in _DIGEST.findall(text)]
        return found

    async def forget(self, key: str) -> None:
        """Remove a note after its contents were settled."""
        await self._objects.delete(key)

    async def _write(self, note: _Note) -> None:
        async with self._one_at_a_time:
            # Later writes go into the next note.
            self._next = None
            self._own.add(note.key)
            try:
                await self._objects.write(note.key, "\n".join(note.contents).encode(), durable=False)
            except StoreUnavailable:
                # If no caller waits any more, there is none to report the error to.
                if note.left:
                    raise
        if not note.left:
            await self._remove(note)

    async def _remove(self, note: _Note) -> None:
        self._own.discard(note.key)
        # A note that is not removed now is found later; its contents are in use by then, so nothing is dropped.
        with suppress(StoreUnavailable):
            await self._objects.delete(note.key)
