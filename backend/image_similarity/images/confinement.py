"""Privileges that a decoding process gives up before it reads untrusted bytes; Linux only.

RLIMIT_NOFILE of 0 prevents new descriptors, so no file can be opened and no socket made, even if the kernel refuses a
network namespace (in most containers it does). Code that takes over a decoder can still use memory and time up to the
limits, and system calls that need no new descriptor.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000

HEADROOM = 96 << 20
"""Bytes that a decoder may use beyond its grant, for the interpreter, a tile, and errors of the estimate."""


def leave_network() -> None:
    """Move to a network namespace without any network, if the kernel allows it; call it before threads start."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def bind_to_parent(parent: int) -> None:
    """Die with the thread that started this process, gain no privileges, and be the OOM killer's first choice.

    Raises SystemExit if `parent` has exited already. Call it after `leave_network`, which would undo it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the server is gone")
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # A signal to the server's process group reaches decoders too; they must finish images that the server waits for.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


class Limits:
    """Bounds on memory and processor time, renewed for each image."""

    def __init__(self, *, memory: int, region: int) -> None:
        """Give up files, sockets and core dumps for good, and limit the address space by `memory` bytes.

        `region` is the size of the shared memory in bytes; the process may hold one copy of it. Raises OSError.
        """
        self._statm = os.open("/proc/self/statm", os.O_RDONLY)
        space = self._pages(0) + 2 * region + 5 * memory // 4 + 2 * HEADROOM
        for kind, limit in (
            (resource.RLIMIT_AS, space),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_NOFILE, 0),
        ):
            ceiling = resource.getrlimit(kind)[1]
            limit = limit if ceiling == resource.RLIM_INFINITY else min(limit, ceiling)
            resource.setrlimit(kind, (limit, limit))

    def renew(self, *, memory: int, seconds: int | None = None) -> None:
        """Allow `memory` bytes more than are in use now, and `seconds` of processor time from now on."""
        _set_soft(resource.RLIMIT_DATA, self._pages(5) + 5 * memory // 4 + HEADROOM)
        if seconds is not None:
            _set_soft(resource.RLIMIT_CPU, int(time.process_time()) + seconds)

    def _pages(self, column: int) -> int:
        """Return the bytes in a column of /proc/self/statm."""
        return int(os.pread(self._statm, 256, 0).split()[column]) * resource.getpagesize()


def _set_soft(kind: int, limit: int) -> None:
    ceiling = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (limit if ceiling == resource.RLIM_INFINITY else min(limit, ceiling), ceiling))
