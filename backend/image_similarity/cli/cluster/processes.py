"""Processes that outlive the command that started them, and that are ended without harm to any other."""

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
"""How long a process may take to finish what it has begun; the API drains, then gives requests under way 30 s."""

_children: list[subprocess.Popen[bytes]] = []
"""Those of this process that may still run: Python complains of a child that nobody holds any more."""

_changing_children = threading.Lock()
"""Services are stopped several at a time, each by a thread of its own."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that we started, the leader of a session of its own."""

    pid: int
    created: float
    """When it began, in seconds since the epoch: a number that was given to another process since is not ours."""

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.created and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def stop(self, *, seconds: float = STOP_SECONDS) -> None:
        """Ask it to end and wait; then end what is left of its session by force."""
        self._signal(signal.SIGTERM)
        _, left = psutil.wait_procs(self._session(), timeout=seconds)
        if left:
            self.kill()
        _forget_ended()

    def kill(self) -> None:
        """End it, and whatever it started, as a power cut would."""
        self._signal(signal.SIGKILL)
        psutil.wait_procs(self._session(), timeout=STOP_SECONDS)
        _forget_ended()

    def _signal(self, number: signal.Signals) -> None:
        for process in self._session():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _session(self) -> list[psutil.Process]:
        """Return what lives of its session, also where it is dead itself: the number stays taken till all are gone."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
                ours = os.getsid(process.pid) == self.pid and process.create_time() >= self.created
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


def start(command: Sequence[str], *, env: Mapping[str, str], folder: Path, log: Path) -> Process:
    """Start a command in a session of its own, its output appended to `log`.

    Raises OSError where it cannot be started.
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
            # Ctrl-C in the terminal must not reach it.
            start_new_session=True,
        )
    with _changing_children:
        _children.append(child)
    return Process(child.pid, psutil.Process(child.pid).create_time())


def _forget_ended() -> None:
    with _changing_children:
        _children[:] = [child for child in _children if child.poll() is None]
