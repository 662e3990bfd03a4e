"""A folder whose writes are synced to disk before they return; concurrent writes share their syncs."""

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
"""Keys that equal their paths; obstore itself writes keys that it would encode."""

_ATTEMPTS = 5
"""Attempts to make a folder that another caller keeps removing because it is empty."""

_PART = 8
"""Files per thread; a large group is spread over several threads, because a network disk is slow to answer."""

_KNOWN_FOLDERS = 4096
"""Folders that a store remembers; the bound matters because folders of jobs come and go."""

_THREADS = ThreadPoolExecutor(16, thread_name_prefix="sync")


class SyncedStore(LocalStore):
    """obstore's LocalStore, except that a write returns only when its bytes and its name are on the disk."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """Take the arguments of LocalStore, whose `__new__` reads them."""
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
        """Write files step by step, each step for all of them, so that one commit of the file system serves many."""
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
        """Make a folder and its parents; adds to `made` the folders whose names may not be on the disk yet."""
        there = folder.is_dir()
        # Another process may have made an existing folder a moment ago, so its name may not be on the disk.
        if folder == self.prefix or (there and folder in self._known):
            return
        self._make(folder.parent, made)
        if not there:
            folder.mkdir(exist_ok=True)
        made.add(folder)


class _Write:
    """A file being written: a draft in the target's folder, renamed to the target once its bytes are on the disk."""

    def __init__(self, target: Path, data: bytes, *, create: bool) -> None:
        self.target = target
        self.error: Exception | None = None
        self._data = data
        self._create = create
        # Named as obstore names unfinished files, so that its listings leave them out.
        self._draft = target.with_name(f"{target.name}#{secrets.randbelow(10**15)}")
        self._out: BinaryIO | None = None

    def begin(self) -> None:
        """Write the draft and ask the kernel to start writing it back. Raises OSError."""
        self._out = self._draft.open("xb")
        self._out.write(self._data)
        self._out.flush()
        # DONTNEED starts the write-back: all files of a group are on their way before we wait for the first.
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._out.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Wait until the draft is on the disk. Raises OSError."""
        assert self._out is not None  # noqa: S101 - it has begun
        os.fsync(self._out.fileno())

    def name(self) -> None:
        """Rename the draft to the target. Raises OSError; AlreadyExistsError if `create` and the target exists."""
        if not self._create:
            self._draft.replace(self.target)
            return
        try:
            os.link(self._draft, self.target)
        except FileExistsError as error:
            raise AlreadyExistsError(f"{self.target.name} is there") from error

    def clean(self) -> None:
        """Close the draft, and delete it unless it was renamed."""
        if self._out is not None:
            # `close` would try again to write what could not be written.
            with suppress(OSError):
                self._out.close()
            if self._create or self.error is not None:
                self._draft.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to disk. Raises OSError."""
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
        # The folder was removed since, with all its files.
        except FileNotFoundError:
            return
        except OSError as error:
            failed[folder] = error

    _for_each(list(folders), sync)
    return failed


def _take(step: Callable[[_Write], None], write: _Write) -> None:
    try:
        step(write)
    # Any error: `Grouped` raises it to the caller of this file.
    except Exception as error:
        write.error = error


def _for_each(items: Sequence[T], do: Callable[[T], None]) -> None:
    def work(part: Sequence[T]) -> None:
        for item in part:
            do(item)

    parts = [items[start : start + _PART] for start in range(0, len(items), _PART)]
    # Waits for all parts, and raises the error of the first that failed.
    for _ in map(work, parts) if len(parts) < 2 else _THREADS.map(work, parts):
        pass
