"""Reserves disk space for the memory-mapped files of Qdrant Edge; without it the kernel would kill the process.

Edge makes its files larger than their contents (a small collection has 200 MB of holes) and writes to them through
memory. If the disk has no block left for a page of a hole, the result is not an error that we could handle, but SIGBUS;
on some file systems (tmpfs) reading a hole is enough. So when the disk has little free space, we allocate the blocks
of the holes beforehand, and refuse writes unless there is room for the files that Edge may add. While there is ample
space we do nothing, so that a collection takes no more than it needs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from image_similarity.domain.errors import DiskFull
from image_similarity.telemetry.logging import get_logger

AMPLE = 2 * 2**30
"""Free bytes from which nothing needs to be done: more than a disk loses between two checks, 5 s apart."""

GROWTH = 64 * 2**20
"""Bytes that must be free for a call that adds data: more than the pages of new files that it may need."""

SHRINKAGE = 2**20
"""Bytes that must be free for a deletion, which adds a few bytes to the log."""

SPARE = 16 * 2**20
"""Bytes of a file that only reserves space: it is removed on a full disk, so that deletions and a start succeed."""

_SPARE_NAME = "spare"


def require(folder: Path, least: int) -> None:
    """Raise DiskFull if a collection's disk has less than `least` bytes free. Call it before each write."""
    if _free(folder) < least and (free := secure(folder)) < least:
        raise DiskFull(
            f"The disk of DATA_DIR has {free / 2**20:,.1f} MiB free, and the vector store needs {least / 2**20:,.0f} "
            "MiB of room to go on. Make room on that disk, or delete images; searches go on."
        )


def require_to_open(folder: Path) -> None:
    """Raise DiskFull if reading a collection's files could kill the process."""
    free = secure(folder, leave=0)
    holes = sum(hole for _, _, hole in _holes(folder / "shard"))
    if holes and free < GROWTH:
        raise DiskFull(
            f"The disk of DATA_DIR is full: {free / 2**20:,.1f} MiB are free, and the files of the collection "
            f'"{folder.name}" may need {holes / 2**20:,.0f} MiB more when they are opened. Nothing is lost. Make room '
            "on that disk, and start again."
        )


def secure(folder: Path, *, leave: int = GROWTH) -> int:
    """Allocate the blocks of holes if little is free, as long as `leave` bytes stay free; return the free bytes."""
    free = _free(folder)
    if free >= AMPLE:
        return free
    spare = folder / _SPARE_NAME
    if free < SPARE // 4 and spare.exists():
        get_logger().warning("disk_full_spare_used", bytes=SPARE)
        spare.unlink(missing_ok=True)
        free = _free(folder)
    for path, size, hole in _holes(folder / "shard"):
        if free - hole >= leave:
            free -= hole
            _fill(path, size)
    if free >= SPARE + max(leave, GROWTH) and not spare.exists():
        _fill(spare, SPARE)
    return _free(folder)


def taken(folder: Path) -> int:
    """Return the bytes that the files of a collection take on the disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))


def _free(folder: Path) -> int:
    state = os.statvfs(folder if folder.exists() else folder.parent)
    return state.f_bavail * state.f_frsize


def _holes(folder: Path) -> Iterator[tuple[Path, int, int]]:
    """Yield (path, size, bytes of holes) of each file with holes."""
    for base, _, names in os.walk(folder):
        for name in names:
            path = Path(base, name)
            # Edge may remove a file at any moment.
            with suppress(FileNotFoundError):
                state = path.stat()
                if (hole := state.st_size - state.st_blocks * 512) > 0:
                    yield path, state.st_size, hole


def _fill(path: Path, size: int) -> None:
    """Allocate all blocks of a file without changing it. Callers notice a failure by the free bytes afterwards."""
    # macOS lacks this call.
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.posix_fallocate(file, 0, size)
        finally:
            os.close(file)
    except OSError as error:
        get_logger().warning("disk_not_reserved", file=path.name, bytes=size, error=str(error))
