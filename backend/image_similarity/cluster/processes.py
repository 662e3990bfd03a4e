"""Processes that outlive the command that started them, and that are ended without harm to any other."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

STOP_SECONDS = 40
"""How long a process may take to finish what it has begun; the API gives requests under way 30 s."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that we started."""

    pid: int
    created: float
    """When it began, in seconds since the epoch: a number that was given to another process since is not ours."""

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._find() is not None

    def stop(self, *, seconds: float = STOP_SECONDS) -> None:
        """Ask it to end and wait; then end it, and whatever it started, by force."""
        process = self._find()
        if process is None:
            return
        family = [process, *process.children(recursive=True)]
        with suppress(psutil.NoSuchProcess):
            process.terminate()
        _, left = psutil.wait_procs([process], timeout=seconds)
        for survivor in {*left, *(one for one in family if one.is_running())}:
            with suppress(psutil.NoSuchProcess):
                survivor.kill()
        psutil.wait_procs(family, timeout=seconds)

    def kill(self) -> None:
        """End it, and whatever it started, as a power cut would."""
        process = self._find()
        if process is None:
            return
        family = [*process.children(recursive=True), process]
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)
        psutil.wait_procs(family, timeout=STOP_SECONDS)

    def _find(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            same = process.create_time() == self.created and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if same else None


def start(command: Sequence[str], *, env: Mapping[str, str], folder: Path, log: Path) -> Process:
    """Start a command in a session of its own, its output appended to `log`.

    Raises OSError where it cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        started = subprocess.Popen(  # noqa: S603 - the commands are our own
            command,
            env=dict(env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal must not reach it.
            start_new_session=True,
        )
    return Process(started.pid, psutil.Process(started.pid).create_time())


def reap() -> None:
    """Take note of our own children that have ended, so that they do not linger as zombies."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
