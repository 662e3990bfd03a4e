"""A folder whose writes are on the disk when they return, and syncs that many waiters share."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore

_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")
"""Keys that are the same as paths; what obstore would write differently is left to it."""

_ATTEMPTS = 5
"""Times that a folder is made again, which another caller removed because it was empty."""

_THREADS = ThreadPoolExecutor(16, thread_name_prefix="sync")
"""Of their own: a slow disk must not keep digests and archives waiting. Writes at once share the disk's commits."""


class SharedSync:
    """Calls `sync` in the caller's thread, or returns when another's call did that was begun after this one's."""

    def __init__(self, sync: Callable[[], None]) -> None:
        self._sync = sync
        self._lock = threading.Lock()
        self._begun = 0
        self._done = 0

    def __call__(self) -> None:
        """Raise what `sync` raises."""
        ticket = self._begun
        with self._lock:
            if self._done > ticket:
                return
            self._begun += 1
            self._sync()
            self._done = self._begun

    async def wait(self) -> None:
        """As the call, without blocking the event loop."""
        await asyncio.get_running_loop().run_in_executor(_THREADS, self)


class SyncedStore(LocalStore):
    """A folder as obstore has it, but for writes: they return when bytes and name are on the disk."""

    async def put_async(self, path: str, file: Any, **options: Any) -> Any:
        """Write an object; `mode="create"` raises AlreadyExistsError if it is there. Raises OSError."""
        if self.prefix is None or not _PLAIN.fullmatch(path):
            return await super().put_async(path, file, **options)
        create = options.get("mode") == "create"
        target = Path(self.prefix) / path
        await asyncio.get_running_loop().run_in_executor(_THREADS, _put, target, bytes(file), create)
        return {"e_tag": None, "version": None}


_folders: dict[Path, SharedSync] = {}


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to disk; callers at once share it. Raises OSError."""
    shared = _folders.get(folder)
    if shared is None:
        shared = _folders[folder] = SharedSync(lambda: _fsync(folder, os.O_RDONLY | os.O_DIRECTORY))
        # Job folders come and go; who shares at this moment has what it needs.
        while len(_folders) > 4096:
            _folders.pop(next(iter(_folders)), None)
    shared()


def sync_files(folder: Path, pattern: str) -> None:
    """Bring the files of a folder to disk, what is mapped into memory included. Raises OSError."""
    for path in folder.glob(pattern):
        # The one who writes there may remove it at any moment.
        with suppress(FileNotFoundError):
            _fsync(path, os.O_RDONLY)


def _put(target: Path, data: bytes, create: bool) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            _make(target.parent)
            _write(target, data, create)
        except FileNotFoundError:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return


def _make(folder: Path) -> None:
    """Make a folder and those above it, each on the disk with its name."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def _write(target: Path, data: bytes, create: bool) -> None:
    # Named as obstore names what it has not finished, which its listings leave out.
    draft = target.with_name(f"{target.name}#{secrets.randbelow(10**15)}")
    try:
        with draft.open("xb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        if create:
            try:
                os.link(draft, target)
            except FileExistsError as error:
                raise AlreadyExistsError(f"{target.name} is there") from error
        else:
            draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(target.parent)


def _fsync(path: Path, flags: int) -> None:
    handle = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
