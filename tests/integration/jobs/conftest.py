from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.jobs import serving
from tests.support.qdrant_process import QdrantProcess
from tests.support.rabbitmq import RabbitMQ, running_rabbitmq
from tests.support.servers import API, ONCE, PATIENCE, free_port


@dataclass(frozen=True)
class Stack:
    """A server, its broker and its vector store; workers are started by each test."""

    http: httpx.Client
    root: str
    broker: RabbitMQ
    qdrant: QdrantProcess
    env: dict[str, str]
    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "worker.log"

    def metric(self, name: str) -> float:
        lines = ONCE.get(f"{self.root}/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith(name + " ")).split()[1])


@pytest.fixture(scope="package")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    with running_rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as running:
        yield running


@pytest.fixture(scope="module")
def stack(broker: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    (folder / "qdrant").mkdir()
    qdrant = QdrantProcess(folder / "qdrant")
    qdrant.start()
    env = {
        "DATA_DIR": str(folder / "data"),
        "MODEL_NAME": "mini",
        "DEVICE": "cpu",
        "BATCH_SIZE": "8",
        "DECODE_THREADS": "2",
        "BROKER_URL": broker.url,
        "QDRANT_URL": qdrant.url,
        "QDRANT_PREFER_GRPC": "false",
    }
    port = free_port()
    with serving(env, folder / "server.log", port):
        root = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=root + API, timeout=PATIENCE) as http:
            yield Stack(http, root, broker, qdrant, env, folder)
    qdrant.stop()
