"""Processes of a cluster, as whoever started them sees them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from image_similarity.cli.cluster import processes
from image_similarity.cli.cluster.processes import start
from image_similarity.cli.cluster.services import is_free
from tests.support.servers import wait_for

AT_ONCE = 8

WITHOUT_ITS_FIRST_THREAD = """
import ctypes, pathlib, socket, threading, time
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=time.sleep, args=(600,)).start()
pathlib.Path("port").write_text(str(server.getsockname()[1]))
ctypes.CDLL(None).pthread_exit(None)
"""
"""A program that Linux calls a zombie although it still listens."""


@pytest.fixture
def hasty() -> Iterator[None]:
    """Have threads take turns all the time, so that they meet in the middle of things."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hasty")
def test_what_runs_stays_known_while_what_ended_is_forgotten_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that nobody holds while it runs is a warning of Python's, whenever it happens to be noticed."""
    monkeypatch.setattr(processes, "_children", [])

    def started(command: str) -> set[int]:
        return {start(command.split(), env={}, folder=tmp_path, log=tmp_path / "log").pid for _ in range(AT_ONCE)}

    running = started("sleep 600")
    together = threading.Barrier(AT_ONCE)

    def forget() -> None:
        together.wait()
        processes._forget_ended()

    try:
        with ThreadPoolExecutor(AT_ONCE) as stopping:
            for _ in range(100):
                started("true")
                for one in [stopping.submit(forget) for _ in range(AT_ONCE)]:
                    one.result()
                assert running <= {child.pid for child in processes._children}
    finally:
        for child in list(processes._children):
            child.kill()
            child.wait()
        processes._forget_ended()
    assert processes._children == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not show such a process as a zombie")
def test_a_process_with_a_thread_left_is_alive_and_stop_frees_its_port(tmp_path: Path) -> None:
    process = start([sys.executable, "-c", WITHOUT_ITS_FIRST_THREAD], env={}, folder=tmp_path, log=tmp_path / "log")
    try:
        wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, "the first thread has not ended")
        assert process.alive
    finally:
        process.stop()
    assert not process.alive
    assert is_free(int((tmp_path / "port").read_text()))
