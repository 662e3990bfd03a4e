"""Which contents are being written, noted before their bytes: what a killed process leaves is found by its notes.

    trash/COLLECTION/begun/UUID  the digests of some contents, one a line, until the last of their writes has ended

A search of the storage for bytes that no record names would be no way to find them, because several collections may
share a storage, and one knows nothing of another's records.
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
"""Longer than a write takes, and than clocks are apart; after it a note is one of a dead process."""

_DIGEST = re.compile(rb"^[0-9a-f]{64}$", re.MULTILINE)


@dataclass(slots=True)
class _Note:
    """One document: the contents of the writes that begin at the same moment, so that they cost one."""

    key: str
    contents: list[str] = field(default_factory=list)
    writing: asyncio.Task[None] | None = None
    left: int = 0


class Begun:
    """The notes of one collection. Every method raises StoreUnavailable if the storage does not answer."""

    def __init__(self, objects: Objects, *, collection: str, alone: bool) -> None:
        """`alone` says that no other process writes to the collection, so that notes of others are of dead ones."""
        self._objects = objects
        self._folder = f"trash/{collection}/begun"
        self._alone = alone
        self._one_at_a_time = asyncio.Lock()
        self._next: _Note | None = None
        self._own: set[str] = set()

    @asynccontextmanager
    async def writing(self, sha256: str) -> AsyncIterator[None]:
        """Note a content for as long as the block runs."""
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
            # Else all callers were cancelled before it was written, and removing it is the writer's.
            if not note.left and note.writing is not None and note.writing.done():
                await self._remove(note)

    async def left(self) -> dict[str, list[str]]:
        """Return the contents that dead processes were writing, by the keys of their notes."""
        oldest = datetime.now(UTC) - timedelta(seconds=KEEP_SECONDS)
        found: dict[str, list[str]] = {}
        for entry in await self._objects.entries(self._folder):
            if entry.key not in self._own and (self._alone or entry.modified < oldest):
                # A power cut may have torn it; a line is whole or no digest.
                text = await self._objects.read(entry.key) or b""
                found[entry.key] = [line.decode() for line in _DIGEST.findall(text)]
        return found

    async def forget(self, key: str) -> None:
        """Remove a note, once its contents are dealt with."""
        await self._objects.delete(key)

    async def _write(self, note: _Note) -> None:
        async with self._one_at_a_time:
            # Who comes from now on is in the next one.
            self._next = None
            self._own.add(note.key)
            try:
                await self._objects.write(note.key, "\n".join(note.contents).encode(), durable=False)
            except StoreUnavailable:
                # If nobody waits for it any more, nobody is to be told.
                if note.left:
                    raise
        if not note.left:
            await self._remove(note)

    async def _remove(self, note: _Note) -> None:
        self._own.discard(note.key)
        # What is not removed now is found later, and its contents are needed then.
        with suppress(StoreUnavailable):
            await self._objects.delete(note.key)
