"""Measures the free space of the disks that this process writes to, and refuses writes that do not fit."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from image_similarity.domain.errors import DiskFull, StoreUnavailable
from image_similarity.telemetry.logging import get_logger
from image_similarity.telemetry.metrics import Metrics

DATA, IMAGES, UPLOADS = "data", "images", "uploads"
"""Kinds of data on a disk: everything but images, the images, and request bodies until they are read."""

EVERY = 0.5
"""Seconds for which one measurement of the disks is reused."""

LIMIT = 3.0
"""Seconds that a measurement may take; a network disk hangs for ever if its server is gone."""

_NAMES = {DATA: "DATA_DIR", IMAGES: "STORAGE_URL", UPLOADS: "TMPDIR, where uploads arrive,"}


def least_free(size: int) -> int:
    """Return the bytes that must stay free on a disk of `size` bytes by default: 5 %, 256 MiB to 1 GiB."""
    return max(2**28, min(size // 20, 2**30))


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system as it was measured."""

    holds: tuple[str, ...]
    """Those of DATA, IMAGES and UPLOADS that are on it."""
    free: int
    """Bytes for a user without privileges."""
    size: int


class DiskSpace:
    """Measures the disks on demand, at most twice a second, in a thread because `statvfs` may hang."""

    def __init__(self, folders: Mapping[str, Path | None], *, min_free: int | None, metrics: Metrics) -> None:
        """`folders` are those of DATA and IMAGES, None if not on a disk; `min_free` is in bytes, 0 for no limit."""
        self._folders = {name: path for name, path in folders.items() if path is not None}
        self._folders[UPLOADS] = Path(tempfile.gettempdir())
        self.min_free = min_free
        """As `min_free`; may be changed."""
        self._metrics = metrics
        self._disks: list[Disk] = []
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self.held = 0
        """Bytes of writes under way."""

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Reserve `size` bytes for a write until the block ends; bytes that others reserved do not count as free.

        Raises DiskFull, and StoreUnavailable if a disk does not answer.
        """
        for disk in await self._look():
            # A body is spooled on one disk and stored on one; if both are the same disk, it needs the room twice.
            needed = (self.held + size) * len(disk.holds)
            if self.min_free != 0 and disk.free - needed < self._least(disk):
                raise self._full(disk, needed)
        self.held += size
        try:
            yield
        finally:
            self.held -= size

    async def check(self) -> None:
        """Raise DiskFull if a disk has less room than must stay free; StoreUnavailable if it does not answer."""
        if (full := await self._fullest()) is not None:
            raise self._full(full)

    async def look(self) -> str | None:
        """Return what to do about a disk that is full, None if none is. Raises StoreUnavailable as `check`."""
        full = await self._fullest()
        return None if full is None else str(self._full(full))

    async def _fullest(self) -> Disk | None:
        full = [disk for disk in await self._look() if disk.free < self._least(disk)]
        return min(full, key=lambda disk: disk.free, default=None)

    async def _look(self) -> list[Disk]:
        if monotonic() - self._looked_at > EVERY:
            # All callers share one measurement, in its own task: a caller may be cancelled.
            self._looking = self._looking or asyncio.create_task(self._look_now())
            done, _ = await asyncio.wait({self._looking}, timeout=LIMIT)
            if not done:
                raise StoreUnavailable(f"The disks of the server have not answered for {LIMIT:g} s.")
        return self._disks

    async def _look_now(self) -> None:
        try:
            self._disks = await asyncio.to_thread(self._measure)
        except OSError as error:
            # The write itself will report what is wrong with the folder.
            get_logger().warning("disk_not_measured", error=str(error))
            self._disks = []
        finally:
            self._looked_at = monotonic()
            self._looking = None
        for disk in self._disks:
            self._metrics.disk_free.labels(disk.holds[0]).set(disk.free)
            self._metrics.disk_least_free.labels(disk.holds[0]).set(self._least(disk))

    def _measure(self) -> list[Disk]:
        found: dict[int, tuple[list[str], os.statvfs_result]] = {}
        for name, path in self._folders.items():
            # A folder is made by the first write to it; until then its parent is measured.
            while not path.exists():
                path = path.absolute().parent
            found.setdefault(path.stat().st_dev, ([], os.statvfs(path)))[0].append(name)
        disks = []
        for names, state in found.values():
            disks.append(Disk(tuple(names), state.f_bavail * state.f_frsize, state.f_blocks * state.f_frsize))
        return disks

    def _least(self, disk: Disk) -> int:
        """Return the bytes that must stay free."""
        least = least_free(disk.size) if self.min_free is None else self.min_free
        # /tmp of a container may be small, and files stay there only briefly.
        return min(least, disk.size // 10) if disk.holds == (UPLOADS,) else least

    def _full(self, disk: Disk, needed: int = 0) -> DiskFull:
        least = self._least(disk)
        asked = f", and this request and those under way may take {_megabytes(needed)}" if disk.free >= least else ""
        return DiskFull(
            f"The disk of {_NAMES[disk.holds[0]]} has {_megabytes(disk.free)} free{asked}; {_megabytes(least)} must "
            "stay free (MIN_FREE_BYTES). Make room on it, or delete images; until then nothing is written, and "
            "searches and deletions go on."
        )


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
