"""Processes that outlive the command that started them, and that are stopped without harm to any other process."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

STOP_SECONDS = 45.0
"""How long a process may take to finish its work; the API drains, and then gives running requests 30 s."""

_children: list[subprocess.Popen[bytes]] = []
"""Children of this process that may still run: Python warns if a child is collected while it runs."""

_changing_children = threading.Lock()
"""Several services are stopped at a time, each by its own thread."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that we started; it leads a session of its own."""

    pid: int
    created: float
    """Start time in seconds since the epoch: if another process has got the pid since then, it is not ours."""

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.created and not _has_ended(process)
        except psutil.NoSuchProcess:
            return False

    def stop(self, *, seconds: float = STOP_SECONDS) -> None:
        """Send SIGTERM and wait; then kill the rest of its session."""
        self._signal(signal.SIGTERM)
        _, left = psutil.wait_procs(self._session(), timeout=seconds)
        if left:
            self.kill()
        _forget_ended()

    def kill(self) -> None:
        """Kill it and all processes that it started, as a power cut would."""
        self._signal(signal.SIGKILL)
        psutil.wait_procs(self._session(), timeout=STOP_SECONDS)
        _forget_ended()

    def _signal(self, number: signal.Signals) -> None:
        for process in self._session():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _session(self) -> list[psutil.Process]:
        """Return the living processes of its session, even if it is dead: its pid stays reserved until they end."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
                ours = os.getsid(process.pid) == self.pid and process.create_time() >= self.created
                if ours and not _has_ended(process):
                    found.append(process)
        return found


def start(command: Sequence[str], *, env: Mapping[str, str], folder: Path, log: Path) -> Process:
    """Start a command in a session of its own, and append its output to `log`.

    Raises OSError if it cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        child = subprocess.Popen(  # noqa: S603 - the commands are our own
            command,
            env=dict(env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            # So that Ctrl-C in the terminal does not reach it.
            start_new_session=True,
        )
    with _changing_children:
        _children.append(child)
    return Process(child.pid, psutil.Process(child.pid).create_time())


def _has_ended(process: psutil.Process) -> bool:
    """Return whether all threads of a process have ended. A parent that does not wait for it keeps it as a zombie.

    It is a zombie as soon as its first thread has ended; until the others have too, it keeps its files and ports.
    """
    return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1


def _forget_ended() -> None:
    with _changing_children:
        _children[:] = [child for child in _children if child.poll() is None]
