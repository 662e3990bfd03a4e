"""Edge's log on the disk: Edge maps it into memory and offers no call to sync it, but syncing its files does that too.

open-5       the segment that is written to, the lowest number of those that are open
open-6       the next one, empty
closed-1200  what was full, on its way to the disk when it was closed
first-index  which Edge syncs itself
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from image_similarity.concurrency.grouped import Grouped

_ATTEMPTS = 5
"""Times that the files are listed again because one was closed, and so renamed, meanwhile."""


class EdgeLog:
    """The folder of a shard's log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: list[str] = []
        """The segments that were there when all of them were last brought to disk."""
        self.broken = False
        """Whether a sync has failed. The kernel then forgets what it could not write, and the next sync succeeds over a
        hole, at which reading the log ends: nothing that is written to this log later may rely on it."""
        self._group: Grouped[None] = Grouped(self._sync_for)

    async def sync(self) -> None:
        """Return when all that was written before is on the disk; callers of one moment share it. Raises OSError."""
        try:
            await self._group.do(None)
        except OSError:
            self.broken = True
            raise

    def _sync_for(self, callers: Sequence[None]) -> list[Exception | None]:
        for _ in range(_ATTEMPTS - 1):
            try:
                self._sync()
            except FileNotFoundError:
                continue
            return [None] * len(callers)
        self._sync()
        return [None] * len(callers)

    def _sync(self) -> None:
        segments = sorted(path.name for path in self._folder.iterdir() if path.name.startswith(("open-", "closed-")))
        # As long as none is new, nothing was written to any but this one.
        current = [name for name in segments if name.startswith("open-")]
        current = sorted(current, key=lambda name: int(name.removeprefix("open-")))[:1]
        for name in current if segments == self._seen else segments:
            _sync_data(self._folder / name)
        self._seen = segments


def _sync_data(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Spares the commit of a date that nobody reads; macOS has no such call.
        getattr(os, "fdatasync", os.fsync)(handle)
    finally:
        os.close(handle)
