"""A real RabbitMQ node of the tests' own: free ports, its own folder, home and name; no other node is touched."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pika
import pytest

from tests.support.servers import PATIENCE, free_port

# Where the package keeps it; /usr/sbin has a wrapper that insists on another user.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class RabbitMQ:
    """One node; its folder and ports outlive a kill, so that `start` brings the same broker back."""

    def __init__(self, folder: Path) -> None:
        found = SERVER if SERVER.exists() else shutil.which("rabbitmq-server")
        if found is None or shutil.which("epmd") is None:
            pytest.skip("rabbitmq-server is not installed; scripts/test.sh installs it")
        self._server = str(found)
        self._folder = folder
        self._port, self._epmd_port = free_port(), free_port()
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"test-{uuid.uuid4().hex[:8]}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            # One scheduler is plenty, and leaves the machine to what is tested.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "enabled_plugins").write_text("[].")
        (folder / "rabbitmq.conf").write_text("disk_free_limit.absolute = 1MB\n")
        self._epmd: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._port}/"

    def start(self) -> None:
        with (self._folder / "output").open("ab") as out:
            if self._epmd is None:
                # Its own too: the one that a node starts by itself would stay behind.
                self._epmd = subprocess.Popen(["epmd"], env=self._environment, stdout=out, stderr=out)
            self._node = subprocess.Popen(
                [self._server], env=self._environment, stdout=out, stderr=out, cwd=self._folder, start_new_session=True
            )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self._node.poll() is None, (self._folder / "output").read_text()
            try:
                with pika.BlockingConnection(pika.URLParameters(self.url)):
                    return
            except (pika.exceptions.AMQPError, OSError):
                time.sleep(0.2)
        raise AssertionError(f"RabbitMQ did not start: {(self._folder / 'output').read_text()}")

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        self._end(signal.SIGTERM)
        if self._epmd is not None:
            self._epmd.terminate()
            self._epmd.wait(PATIENCE)

    def _end(self, how: signal.Signals) -> None:
        if self._node is not None and self._node.poll() is None:
            # The launching shell, the node, and the helpers that it started.
            os.killpg(self._node.pid, how)
            self._node.wait(PATIENCE)


@contextmanager
def running_rabbitmq(folder: Path) -> Iterator[RabbitMQ]:
    broker = RabbitMQ(folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()
