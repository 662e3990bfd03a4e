"""`image-similarity cluster` as people use it."""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pika
import psutil
import pytest

from image_similarity.cli.cluster import qdrant
from image_similarity.cli.cluster.environment import passed_on
from image_similarity.cli.cluster.qdrant import Source
from image_similarity.cli.cluster.stack import Cluster, ClusterPlan
from image_similarity.domain.errors import InvalidRequest
from stand_in_cluster import STAND_IN
from tests.cluster.conftest import start_preloaded
from tests.support.servers import API, PATIENCE, command, environment


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    if shutil.which("qdrant"):
        pytest.skip("there is a real Qdrant, which `cluster up` takes before the stand-in")
    yield tmp_path / "cluster"
    Cluster(tmp_path / "cluster").down()


def run(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    called = [*command("cluster", *arguments), "--dir", str(folder)]
    env = {"QDRANT_STAND_IN": shlex.join(STAND_IN), **env}
    return subprocess.run(called, env=environment(env), capture_output=True, text=True, timeout=2 * PATIENCE)


def test_up_status_restart_down(folder: Path) -> None:
    shell = {"MODEL_NAME": "mini", "DEVICE": "cpu", "UNDO_SECONDS": "77", "REDIS_PASSWORD": "hush"}
    up = run(folder, "up", "--replicas", "1", "--workers", "0", "--free-ports", **shell)
    assert up.returncode == 0, up.stderr
    cluster = Cluster(folder)
    assert "Qdrant is a stand-in in one process, not Qdrant" in up.stderr
    assert "The cluster decides for itself, whatever the shell says: REDIS_PASSWORD." in up.stderr
    (replica,) = (service for service in cluster.running() if service.name == "replica-1")
    seen = psutil.Process(replica.process.pid).environ()
    assert (seen["UNDO_SECONDS"], "REDIS_PASSWORD" in seen) == ("77", False)
    assert (folder / "cluster.json").stat().st_mode & 0o777 == 0o600, "it holds keys"
    assert f"cluster down --dir {folder}" in up.stdout
    assert f"http://localhost:{cluster.ports['api']}" in up.stdout
    health = httpx.get(f"{cluster.url}{API}/health").json()
    assert health["status"] == "healthy"
    status = run(folder, "status")
    assert (status.returncode, "stand-in" in status.stdout) == (0, True)
    assert all((folder / "logs" / f"{service.name}.log").exists() for service in cluster.running())

    twice = run(folder, "up", MODEL_NAME="mini")
    assert (twice.returncode, "runs in" in twice.stderr) == (1, True), twice.stderr

    cluster.kill("redis")
    seen = run(folder, "status")
    assert (seen.returncode, "stopped" in seen.stdout) == (1, True)
    restarted = run(folder, "restart", "redis")
    assert restarted.returncode == 0, restarted.stderr
    assert run(folder, "status").returncode == 0
    assert run(folder, "restart", "replica-9").returncode == 1

    with queue(cluster) as channel:
        channel.basic_publish("", "kept", b"work", pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent))
    elsewhere = run(folder / "elsewhere", "down")
    assert (elsewhere.returncode, "Nothing ran in" in elsewhere.stderr) == (0, True)
    assert "Stopped" not in elsewhere.stdout
    assert run(folder, "down").returncode == 0
    assert left_in(folder) == []

    with pytest.MonkeyPatch.context() as patch:
        # What a second start shows of its own is in the broker: the others need not be loaded anew for it.
        patch.setattr("image_similarity.cli.cluster.stack.start", start_preloaded)
        cluster.up(
            ClusterPlan(Source(stand_in=STAND_IN), replicas=1, workers=0, env={"MODEL_NAME": "mini", "DEVICE": "cpu"})
        )
    with queue(cluster) as channel:
        assert channel.basic_get("kept", auto_ack=True)[2] == b"work", "the queue outlives the stop"
    assert run(folder, "down").returncode == 0
    assert left_in(folder) == []


@contextmanager
def queue(cluster: Cluster) -> Iterator[Any]:
    with pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", cluster.ports["rabbitmq"])) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("kept", durable=True)
        yield channel


def test_what_was_started_is_stopped_when_a_part_fails(folder: Path) -> None:
    up = run(folder, "up", "--replicas", "1", "--workers", "0", "--free-ports", MODEL_NAME="/nowhere/at/all")
    assert up.returncode == 1
    assert "replica-1" in up.stderr
    assert "/nowhere/at/all" in up.stderr, "the end of the log says why"
    assert left_in(folder) == []


def test_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidRequest, match=f"Port {port}, for api, is taken"):
            Cluster(tmp_path).up(ClusterPlan(Source(url="http://127.0.0.1:1"), ports={"api": port}))


def left_in(folder: Path) -> list[psutil.Process]:
    """Return the processes that run in a folder, which every one of a cluster does."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_only_a_given_qdrant_gets_the_settings_of_the_shell() -> None:
    shell = {
        "PATH": "/bin",
        "tagger": "imagenet",
        "QDRANT_API_KEY": "secret",
        "QDRANT_REPLICATION_FACTOR": "2",
        "QDRANT_GRPC_PORT": "7000",
        "QDRANT_URL": "http://other",
        "DATA_DIR": "/elsewhere",
        "DEVICE": "",
        "OTEL_SERVICE_NAME": "ours",
        "BALANCE": "roundrobin",
    }
    common = {
        "TAGGER": "imagenet",
        "QDRANT_REPLICATION_FACTOR": "2",
        "OTEL_SERVICE_NAME": "ours",
        "BALANCE": "roundrobin",
    }
    given, overridden = passed_on(shell, Source(url="http://q:6333"))
    assert given == {**common, "QDRANT_API_KEY": "secret", "QDRANT_GRPC_PORT": "7000"}
    assert overridden == ["DATA_DIR"]
    given, overridden = passed_on(shell, Source(binary="/bin/qdrant"))
    assert given == common
    assert overridden == ["DATA_DIR", "QDRANT_API_KEY", "QDRANT_GRPC_PORT", "QDRANT_URL"]


def test_replicas_are_told_of_every_node_and_nothing_that_was_not_started() -> None:
    ports = {name: number for number, name in enumerate(qdrant.port_names(Source(binary="q")), start=1)}
    assert qdrant.decided(Source(binary="q"), ports) == {
        "QDRANT_URL": "http://127.0.0.1:1?grpc_port=2,http://127.0.0.1:4?grpc_port=5,http://127.0.0.1:7?grpc_port=8",
        "QDRANT_EXPECTED_PEERS": "3",
    }
    assert qdrant.defaults(Source(binary="q")) == {"QDRANT_SHARD_NUMBER": "3", "QDRANT_REPLICATION_FACTOR": "2"}
    stand_in = Source(stand_in=("speaks",))
    assert qdrant.decided(stand_in, {"qdrant": 1, "qdrant-grpc": 2}) == {
        "QDRANT_URL": "http://127.0.0.1:1",
        "QDRANT_GRPC_PORT": "2",
    }
    assert qdrant.decided(Source(url="http://q"), {}) == {"QDRANT_URL": "http://q"}
    assert qdrant.defaults(stand_in) == qdrant.defaults(Source(url="http://q")) == {}
