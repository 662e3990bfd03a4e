"""A collection's folder is one process's at a time: a lock of our own, which names its holder.

Qdrant Edge has a lock too, but looks at it only after it has changed files that another process may have open. So this
one is taken before Edge is called at all. It is `flock` on an open file: the kernel lets go of it when the process
ends, however it ends, and a file that was left behind locks nothing.
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
"""Seconds that a taken lock is tried for: who only looks whether it is free holds it for a moment, too."""

_MOST_BYTES = 4096
"""Read of what a holder wrote; its own text has a few hundred."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that has a folder, as far as it said who it is; all of it may be another program's invention."""

    pid: int | None = None
    host: str = ""
    """The machine's or the container's name."""
    program: str = ""
    url: str | None = None
    """Where it serves; None for a command, and for a server that is still starting."""

    @property
    def serves(self) -> bool:
        """Whether it is a server, or will be one in a moment."""
        return self.url is not None or self.program.endswith(" serve")

    def __str__(self) -> str:
        if self.pid is None:
            return "another process, which does not say who it is"
        where = "" if self.host in {"", platform.node()} else f" on {self.host}"
        if self.url is not None:
            return f"the server at {self.url} (pid {self.pid}{where})"
        return f"`{self.program or 'another program'}` (pid {self.pid}{where})"


class FolderInUse(StoreLocked):
    """Another process has the folder."""

    def __init__(self, folder: Path, holder: Holder, advice: str | None = None) -> None:
        """`advice` is what to do about it."""
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
    """A folder that is this process's until `release`, or until the process ends."""

    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self._file: int | None = file

    @classmethod
    def take(cls, folder: Path) -> FolderLock:
        """Take the folder, which need not be there yet, and write into the lock who has it.

        Raises FolderInUse while another process has it, StoreUnavailable where no lock can be made.
        """
        path = lock_path(folder)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not through a link, which might lead to a file that is not ours to overwrite.
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
        """Write where this process serves, for those who find the folder taken."""
        if self._file is None:
            return
        text = orjson.dumps(asdict(Holder(os.getpid(), platform.node(), _program(), url)))
        try:
            # What is there is the last holder's: a reader may see a mixture for a moment, which is not JSON.
            os.pwrite(self._file, text, 0)
            os.ftruncate(self._file, len(text))
        except OSError as error:
            # On a full disk, say. The folder is locked all the same; only nobody learns by whom.
            get_logger().warning("lock_without_name", path=str(self._path), error=str(error))

    def release(self) -> None:
        """Let others have the folder; harmless to repeat."""
        if self._file is None:
            return
        file, self._file = self._file, None
        # The file stays, with its text: who waits for the lock has it open, and would get one on a file that is gone.
        try:
            # Not left to closing it: a program that is just being started has it open for a moment, too.
            fcntl.flock(file, fcntl.LOCK_UN)
        finally:
            os.close(file)


def holder_of(folder: Path) -> Holder | None:
    """Tell who has the folder, None where nobody has. Makes nothing. Raises StoreUnavailable."""
    path = lock_path(folder)
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        # There is no lock, or none that we could take; opening the folder will tell.
        return None
    try:
        return None if try_lock(file) else _read(file)
    except OSError as error:
        raise StoreUnavailable(_no_lock(path, error)) from error
    finally:
        os.close(file)


def lock_path(folder: Path) -> Path:
    """Return where the lock lies: beside the folder, which may be made or made anew while it is locked."""
    return folder.with_name(f"{folder.name}.lock")


def try_lock(file: int, patience: float = 0) -> bool:
    """Lock an open file for as long as it is open; tells whether that went well within `patience` seconds.

    Raises OSError where there are no locks.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # BSD and Linux say EWOULDBLOCK; NFS, where it is a lock of another kind, may say EACCES.
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise
        else:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)


def _read(file: int) -> Holder:
    """Return what a holder wrote of itself, an unknown one where that is no such thing."""
    try:
        found = orjson.loads(os.pread(file, _MOST_BYTES, 0))
        holder = Holder(int(found["pid"]), _printable(found["host"]), _printable(found["program"]), found["url"])
    except (OSError, ValueError, TypeError, KeyError):
        return Holder()
    if holder.url is not None and (not isinstance(holder.url, str) or _printable(holder.url) != holder.url):
        return Holder()
    return holder


def _printable(text: object) -> str:
    """Return what may be shown on a terminal of a text of another program."""
    return "".join(char for char in str(text)[:200] if char.isprintable())


def _program() -> str:
    """Return the name of this program, with the command that it was asked for."""
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    return " ".join([Path(sys.argv[0]).name, *([command] if re.fullmatch("[a-z-]{1,30}", command) else [])])


def _no_lock(path: Path, error: OSError) -> str:
    return (
        f"{path} cannot be locked: {error}. The data directory must lie on a file system with locks: a local disk, or "
        "NFS with its lock service (no option `nolock`)."
    )
