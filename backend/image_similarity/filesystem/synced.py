"""A folder whose writes are on the disk when they return; writes of one moment are brought there together."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore

from image_similarity.concurrency.grouped import Grouped

T = TypeVar("T")

_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")
"""Keys that are the same as paths; what obstore would write differently is left to it."""

_ATTEMPTS = 5
"""Times that a folder is made again, which another caller removed because it was empty."""

_PART = 8
"""Files that a thread takes; a large group has several threads, because a disk behind a network is slow to answer."""

_KNOWN_FOLDERS = 4096
"""Folders that a store remembers; those of jobs come and go."""

_THREADS = ThreadPoolExecutor(16, thread_name_prefix="sync")


class SyncedStore(LocalStore):
    """A folder as obstore has it, but for writes: they return when bytes and name are on the disk."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """Take what LocalStore takes, whose `__new__` reads it."""
        self._group = Grouped(self._write_all)
        self._known: set[Path] = set()
        """Folders whose own names are on the disk."""

    async def put_async(self, path: str, file: Any, **options: Any) -> Any:
        """Write an object; `mode="create"` raises AlreadyExistsError if it is there. Raises OSError."""
        if self.prefix is None or not _PLAIN.fullmatch(path):
            return await super().put_async(path, file, **options)
        await self._group.do(_Write(Path(self.prefix) / path, bytes(file), create=options.get("mode") == "create"))
        return {"e_tag": None, "version": None}

    def _write_all(self, writes: Sequence[_Write]) -> list[Exception | None]:
        """Write files, each step for all of them before the next: then one commit of the disk serves many."""
        made: set[Path] = set()
        try:
            for step in (partial(self._begin, made=made), _Write.sync, _Write.name):
                _for_each([write for write in writes if write.error is None], partial(_take, step))
        finally:
            for write in writes:
                write.clean()
        folders = {write.target.parent for write in writes if write.error is None}
        failed = _sync_folders(folders | {folder.parent for folder in made})
        for write in writes:
            above = (failed.get(folder) for folder in write.target.parents)
            write.error = write.error or next((error for error in above if error is not None), None)
        if len(self._known) >= _KNOWN_FOLDERS:
            self._known.clear()
        self._known |= {folder for folder in made if folder.parent not in failed}
        return [write.error for write in writes]

    def _begin(self, write: _Write, made: set[Path]) -> None:
        for _ in range(_ATTEMPTS - 1):
            with suppress(FileNotFoundError):
                self._make(write.target.parent, made)
                return write.begin()
        self._make(write.target.parent, made)
        return write.begin()

    def _make(self, folder: Path, made: set[Path]) -> None:
        """Make a folder and those above it; adds to `made` what may not be on the disk under its name yet."""
        there = folder.is_dir()
        # One that is there may have been made by another process a moment ago.
        if folder == self.prefix or (there and folder in self._known):
            return
        self._make(folder.parent, made)
        if not there:
            folder.mkdir(exist_ok=True)
        made.add(folder)


class _Write:
    """A file on its way to the disk: a draft beside its place, which gets its name when its bytes are there."""

    def __init__(self, target: Path, data: bytes, *, create: bool) -> None:
        self.target = target
        self.error: Exception | None = None
        self._data = data
        self._create = create
        # Named as obstore names what it has not finished, which its listings leave out.
        self._draft = target.with_name(f"{target.name}#{secrets.randbelow(10**15)}")
        self._out: BinaryIO | None = None

    def begin(self) -> None:
        """Write the draft, and have the kernel begin to bring it to disk. Raises OSError."""
        self._out = self._draft.open("xb")
        self._out.write(self._data)
        self._out.flush()
        # Not for what it is named after, but to have all files of a group under way before the first is waited for.
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._out.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Wait until the draft is on the disk. Raises OSError."""
        assert self._out is not None  # noqa: S101 - it has begun
        os.fsync(self._out.fileno())

    def name(self) -> None:
        """Give the draft its name. Raises OSError, and AlreadyExistsError if it was to be created and is there."""
        if not self._create:
            self._draft.replace(self.target)
            return
        try:
            os.link(self._draft, self.target)
        except FileExistsError as error:
            raise AlreadyExistsError(f"{self.target.name} is there") from error

    def clean(self) -> None:
        """Let go of the draft, whatever became of it."""
        if self._out is not None:
            # What could not be written would be tried again.
            with suppress(OSError):
                self._out.close()
            if self._create or self.error is not None:
                self._draft.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to disk. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folders(folders: set[Path]) -> dict[Path, Exception]:
    failed: dict[Path, Exception] = {}

    def sync(folder: Path) -> None:
        try:
            sync_folder(folder)
        # Removed since, with all that was in it.
        except FileNotFoundError:
            return
        except OSError as error:
            failed[folder] = error

    _for_each(list(folders), sync)
    return failed


def _take(step: Callable[[_Write], None], write: _Write) -> None:
    try:
        step(write)
    # Whatever it is, it is told to the one who waits for this file.
    except Exception as error:
        write.error = error


def _for_each(items: Sequence[T], do: Callable[[T], None]) -> None:
    def work(part: Sequence[T]) -> None:
        for item in part:
            do(item)

    parts = [items[start : start + _PART] for start in range(0, len(items), _PART)]
    # Waits for all of them, and raises what one raised.
    for _ in map(work, parts) if len(parts) < 2 else _THREADS.map(work, parts):
        pass
