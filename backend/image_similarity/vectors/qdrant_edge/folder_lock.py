"""A lock that gives one process at a time a collection's folder, and names its holder.

Qdrant Edge has a lock too, but checks it only after it has changed files that another process may have open. So we take
this lock before we call Edge. It is `flock` on an open file: the kernel releases it when the process ends in any way,
and a leftover file locks nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from image_similarity.domain.errors import StoreLocked, StoreUnavailable
from image_similarity.telemetry.logging import get_logger

_PATIENCE = 0.5
"""Seconds to try a taken lock, because a process that only checks the lock holds it for a moment, too."""

_MOST_BYTES = 4096
"""Maximum bytes read of a holder's text; ours has a few hundred."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a folder, as it describes itself; other programs may have written anything."""

    pid: int | None = None
    host: str = ""
    """Name of the machine or container."""
    program: str = ""
    url: str | None = None
    """Address that it serves at; None for a command, and for a server that is still starting."""

    @property
    def serves(self) -> bool:
        """Whether it is a server, or one that is starting."""
        return self.url is not None or self.program.endswith(" serve")

    def __str__(self) -> str:
        if self.pid is None:
            return "another process, which does not say who it is"
        where = "" if self.host in {"", platform.node()} else f" on {self.host}"
        if self.url is not None:
            return f"the server at {self.url} (pid {self.pid}{where})"
        return f"`{self.program or 'another program'}` (pid {self.pid}{where})"


class FolderInUse(StoreLocked):
    """Another process holds the folder."""

    def __init__(self, folder: Path, holder: Holder, advice: str | None = None) -> None:
        """`advice` says what to do; None for the usual advice."""
        super().__init__(f"{folder} is in use by {holder}. {advice or _advice(folder, holder)}")
        self.folder = folder
        self.holder = holder


def _advice(folder: Path, holder: Holder) -> str:
    if holder.pid is None:
        return f"Stop it first; `fuser {lock_path(folder)}` tells its number."
    if holder.url is not None:
        return f"Talk to that server, with --url {holder.url}, or stop it."
    if holder.serves:
        return "It is starting; try again in a moment."
    return "Wait until it has finished, or stop it."


class FolderLock:
    """Holds a folder for this process until `release`, or until the process ends."""

    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self._file: int | None = file

    @classmethod
    def take(cls, folder: Path) -> FolderLock:
        """Lock the folder, which need not exist yet, and write into the lock which process holds it.

        Raises FolderInUse if another process holds it, StoreUnavailable if no lock can be made.
        """
        path = lock_path(folder)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not through a link, which might lead to a file that we must not overwrite.
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreUnavailable(
                f"The data directory {folder.parent} cannot be written: {error.strerror}. It must belong to the user "
                "that runs this program, on a file system that is not read-only."
            ) from error
        lock = cls(path, file)
        try:
            taken = try_lock(file, _PATIENCE)
        except OSError as error:
            lock.release()
            raise StoreUnavailable(_no_lock(path, error)) from error
        if not taken:
            holder = _read(file)
            lock.release()
            raise FolderInUse(folder, holder)
        lock.announce(None)
        return lock

    def announce(self, url: str | None) -> None:
        """Write the address that this process serves at, for processes that find the folder taken."""
        if self._file is None:
            return
        text = orjson.dumps(asdict(Holder(os.getpid(), platform.node(), _program(), url)))
        try:
            # This overwrites the last holder's text: a reader may see a mixture for a moment, which is not JSON.
            os.pwrite(self._file, text, 0)
            os.ftruncate(self._file, len(text))
        except OSError as error:
            # For example on a full disk. The folder is still locked, but other processes cannot read who holds it.
            get_logger().warning("lock_without_name", path=str(self._path), error=str(error))

    def release(self) -> None:
        """Release the folder; harmless to repeat."""
        if self._file is None:
            return
        file, self._file = self._file, None
        # Keep the file: a process that waits for the lock has it open, and would get a lock on a deleted file.
        try:
            # Closing is not enough: a child process that is just being started has the file open for a moment, too.
            fcntl.flock(file, fcntl.LOCK_UN)
        finally:
            os.close(file)


def holder_of(folder: Path) -> Holder | None:
    """Return the holder of the folder, None if it is free. Makes no file. Raises StoreUnavailable."""
    path = lock_path(folder)
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        # There is no lock, or none that we could take; opening the folder will show it.
        return None
    try:
        return None if try_lock(file) else _read(file)
    except OSError as error:
        raise StoreUnavailable(_no_lock(path, error)) from error
    finally:
        os.close(file)


def lock_path(folder: Path) -> Path:
    """Return the path of the lock: beside the folder, because the folder may be made or replaced while it is locked."""
    return folder.with_name(f"{folder.name}.lock")


def try_lock(file: int, patience: float = 0) -> bool:
    """Lock an open file for as long as it is open; return whether that succeeded within `patience` seconds.

    Raises OSError if the file system has no locks.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # BSD and Linux give EWOULDBLOCK; NFS, which has another kind of lock, may give EACCES.
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise
        else:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)


def _read(file: int) -> Holder:
    """Return the holder that a lock's text describes; an unknown one if the text is invalid."""
    try:
        found = orjson.loads(os.pread(file, _MOST_BYTES, 0))
        holder = Holder(int(found["pid"]), _printable(found["host"]), _printable(found["program"]), found["url"])
    except (OSError, ValueError, TypeError, KeyError):
        return Holder()
    if holder.url is not None and (not isinstance(holder.url, str) or _printable(holder.url) != holder.url):
        return Holder()
    return holder


def _printable(text: object) -> str:
    """Return the printable part of another program's text, up to 200 characters, which is safe on a terminal."""
    return "".join(char for char in str(text)[:200] if char.isprintable())


def _program() -> str:
    """Return the name of this program and its command."""
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    return " ".join([Path(sys.argv[0]).name, *([command] if re.fullmatch("[a-z-]{1,30}", command) else [])])


def _no_lock(path: Path, error: OSError) -> str:
    return (
        f"{path} cannot be locked: {error}. The data directory must lie on a file system with locks: a local disk, or "
        "NFS with its lock service (no option `nolock`)."
    )
