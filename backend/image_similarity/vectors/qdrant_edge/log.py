"""Syncs Edge's log to disk. Edge maps the log into memory and has no call to sync it, but syncing its files works.

open-5       the segment that Edge writes to, the lowest number of the open ones
open-6       the next segment, empty
closed-1200  a full segment, which Edge began to write back when it closed it
first-index  Edge syncs it itself
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from image_similarity.concurrency.grouped import Grouped

_ATTEMPTS = 5
"""Attempts, because a segment may be closed, and so renamed, after the files were listed."""


class EdgeLog:
    """The folder of a shard's log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: list[str] = []
        """The segments that existed when all of them were last synced."""
        self.broken = False
        """Whether a sync has failed. The kernel then forgets the pages that it could not write, and the next sync
        succeeds although the log has a hole, where reading would stop: so later writes must not rely on this log."""
        self._group: Grouped[None] = Grouped(self._sync_for)

    async def sync(self) -> None:
        """Return when all earlier writes are on the disk; concurrent callers share one sync. Raises OSError."""
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
        # If there is no new segment, Edge has written only to this one.
        current = [name for name in segments if name.startswith("open-")]
        current = sorted(current, key=lambda name: int(name.removeprefix("open-")))[:1]
        for name in current if segments == self._seen else segments:
            _sync_data(self._folder / name)
        self._seen = segments


def _sync_data(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # fdatasync does not commit the modification time, which is not needed; macOS lacks this call.
        getattr(os, "fdatasync", os.fsync)(handle)
    finally:
        os.close(handle)
