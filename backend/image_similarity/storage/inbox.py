"""Reads files that others put below `inbox/` in the storage: only plain files of bounded size, and never a link.

Users who may write there must not be able to read other files of this process. So no link below `inbox` is followed,
even if it is made during the read. `inbox` itself may be a link, because the operator made it.
"""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from errno import ELOOP, EMLINK, ENOTDIR, ENXIO
from pathlib import Path

from image_similarity.domain.errors import InvalidRequest

INBOX = "inbox/"

_STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe would block until somebody writes to it.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def read_file(root: Path, key: str, max_bytes: int) -> bytes | None:
    """Return the bytes of a file below `root/inbox`, or None if there is none; blocks.

    Raises InvalidRequest if it is not a plain file, is behind a link or is too large; OSError if reading fails.
    """
    *folders, name = key.removeprefix(INBOX).split("/")
    with ExitStack() as opened:
        try:
            handle = _open(root / INBOX, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, None, opened)
            for folder in folders:
                handle = _open(folder, _STEP, handle, opened)
            handle = _open(name, _FILE, handle, opened)
        except FileNotFoundError:
            return None
        except OSError as error:
            # ELOOP, EMLINK or ENOTDIR for a link, depending on the system; ENXIO for a socket.
            if error.errno in {ELOOP, EMLINK, ENOTDIR, ENXIO}:
                raise _no_file(key) from error
            raise
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise _no_file(key)
        check_size(key, found.st_size, max_bytes)
        with open(handle, "rb", closefd=False) as file:
            data = file.read(max_bytes + 1)
        # The file may have grown since fstat.
        check_size(key, len(data), max_bytes)
        return data


def check_size(key: str, size: int, max_bytes: int) -> None:
    """Raise InvalidRequest for an object that is too large."""
    if size > max_bytes:
        raise InvalidRequest(f'"{key}" has {size} bytes or more; the limit is {max_bytes} (MAX_BODY_BYTES).')


def _open(name: str | Path, flags: int, folder: int | None, opened: ExitStack) -> int:
    handle = os.open(name, flags, dir_fd=folder)
    opened.callback(os.close, handle)
    return handle


def _no_file(key: str) -> InvalidRequest:
    return InvalidRequest(
        f'"{key}" is no plain file, or a link or another file is on the way to it; put the file there.'
    )
