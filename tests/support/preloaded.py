"""Servers that start at once: forks of one process per test process that has their modules loaded already.

To load torch and the rest takes a server 4 to 10 seconds of a processor, and the tests start hundreds. A fork goes on
as the program does after its imports: it has its arguments, environment, folder, output and session, and runs
`python -m MODULE` in them. The process that forks does nothing but import: its only threads are those of OpenBLAS,
which starts them anew in a fork. What happens before and while a program loads is shown by tests that start theirs
anew.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from tests.support.paths import REPOSITORY

MODULES = (
    "image_similarity.cli.main",
    "image_similarity.bootstrap.server",
    "image_similarity.bootstrap.worker",
    "image_similarity.encoders.mini.image",
    "safetensors.torch",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.websockets.auto",
    "tests.support.qdrant_server",
    "tests.support.fake_replica",
)
CHECKPOINT_MODULES = (
    "image_similarity.encoders.clip.image",
    "image_similarity.encoders.clip.text",
    "torch._dynamo",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.clip.modeling_clip",
    "transformers.models.clip.tokenization_clip",
)
"""What a model other than `mini` needs besides; loaded when the first program that names one is started."""

READ_WHILE_LOADING = (
    *("PYTHON", "LD_", "MALLOC_", "OMP_", "GOMP_", "MKL_", "OPENBLAS_"),
    *("HF_", "TORCH_", "TRANSFORMERS_", "HOME", "XDG_", "TMPDIR", "COLUMNS", "NO_COLOR"),
)
"""Beginnings of variables that are read while Python and libraries are loaded: a fork comes too late for them."""

SAME_FOR_ALL = {"COLUMNS": "200", "NO_COLOR": "1"}
"""What decides how the command line prints; read when it is loaded."""


class Program:
    """A program that was started; what it has of `subprocess.Popen` means the same."""

    def __init__(self, link: socket.socket) -> None:
        # Its number alone: a socket that is collected together with this object would warn that nobody closed it.
        self._link = link.detach()
        """Says the process's number, and how the program ended, once it has."""
        self.pid = int.from_bytes(os.read(self._link, 8), "big")
        assert self.pid, "the process that starts programs has ended"
        self.returncode: int | None = None
        self._reading = threading.Lock()

    def __del__(self) -> None:
        os.close(self._link)

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit status, which is -N after signal N. Raises TimeoutExpired."""
        if self.returncode is None:
            waiting = select.poll()
            waiting.register(self._link, select.POLLIN)
            if not waiting.poll(None if timeout is None else 1000 * timeout):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            # Several threads may wait; one of them reads.
            with self._reading:
                if self.returncode is None:
                    status = os.read(self._link, 8)
                    assert status, "the process that starts programs has ended"
                    self.returncode = int(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def suits(env: Mapping[str, str]) -> bool:
    """Tell whether a program with these variables can be a fork; others have to be started anew."""
    return {name: value for name, value in env.items() if name.startswith(READ_WHILE_LOADING)} == loaded_with()


def loaded_with() -> dict[str, str]:
    """Return the variables that a fork must have, because they were read while its modules were loaded."""
    _, env = _loader()
    return {name: value for name, value in env.items() if name.startswith(READ_WHILE_LOADING)}


def start(
    module: str,
    *arguments: str,
    env: Mapping[str, str],
    out: IO[bytes],
    folder: Path | None = None,
    new_session: bool = False,
) -> Program:
    """Run `python -m MODULE ARGUMENTS`, with standard output and standard error in the file `out`."""
    assert suits(env)
    request = {
        "module": module,
        "arguments": arguments,
        "env": dict(env),
        "folder": str(folder or Path.cwd()),
        "new_session": new_session,
        "modules": () if env.get("MODEL_NAME", "mini") == "mini" else CHECKPOINT_MODULES,
    }
    control, _ = _loader()
    ours, theirs = socket.socketpair()
    with theirs:
        socket.send_fds(control, [b"."], [theirs.fileno(), out.fileno()])
    ours.sendall(json.dumps(request).encode())
    ours.shutdown(socket.SHUT_WR)
    return Program(ours)


@cache
def _loader() -> tuple[socket.socket, dict[str, str]]:
    """Start the process that loads and forks; returns the way to ask it, and its environment.

    It ends, and ends its forks, when this process does.
    """
    ours, theirs = socket.socketpair()
    # Its forks are measured, each by itself; it would measure imports only.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")}
    env |= SAME_FOR_ALL
    with theirs:
        loader = subprocess.Popen(
            [sys.executable, "-m", "tests.support.preloaded", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=env,
            cwd=REPOSITORY,
            start_new_session=True,
        )
    atexit.register(ours.close)
    # Nobody waits for it: Python would complain of that at the end.
    loader.returncode = 0
    return ours, env


def _serve(control: socket.socket) -> dict[str, Any]:
    """Fork for each request; returns in the forks only, each with its request."""
    woken, waker = socket.socketpair()
    for end in (woken, waker):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    links: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            woken.recv(4096)
            _report_ended(links)
        if control not in ready:
            continue
        _, received, _, _ = socket.recv_fds(control, 1, 2)
        if not received:
            signal.set_wakeup_fd(-1)
            for pid in links:
                os.kill(pid, signal.SIGKILL)
            sys.exit()
        link, out = socket.socket(fileno=received[0]), received[1]
        with link.makefile("rb") as sent:
            request: dict[str, Any] = json.load(sent)
        for name in request["modules"]:
            import_module(name)
        gc.freeze()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (control, woken, waker, link, *links.values()):
                each.close()
            return {**request, "out": out}
        os.close(out)
        links[pid] = link
        link.sendall(pid.to_bytes(8, "big"))


def _report_ended(links: dict[int, socket.socket]) -> None:
    while links:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        # The one who asked may have forgotten it.
        with links.pop(pid) as link, suppress(OSError):
            link.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: dict[str, Any]) -> None:
    """Be the program that was asked for, and return at its end."""
    if request["new_session"]:
        os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (request["out"], 1), (request["out"], 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(request["out"])
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = [request["module"], *request["arguments"]]
    if "COVERAGE_PROCESS_CONFIG" in os.environ:
        import coverage

        coverage.process_startup(force=True)
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    control_socket = socket.socket(fileno=int(sys.argv[1]))
    for module_name in MODULES:
        import_module(module_name)
    _become(_serve(control_socket))
