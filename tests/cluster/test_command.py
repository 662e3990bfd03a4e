"""`image-similarity cluster` as people use it."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from image_similarity.cluster.cluster import Cluster, Plan
from image_similarity.domain import InvalidRequest
from tests.support.servers import API, PATIENCE, command, environment


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "cluster"
    Cluster(tmp_path / "cluster").down()


def run(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    called = [*command("cluster", *arguments), "--dir", str(folder)]
    return subprocess.run(called, env=environment(env), capture_output=True, text=True, timeout=2 * PATIENCE)


def test_up_status_restart_down(folder: Path, tiny_checkpoint: Path) -> None:
    up = run(
        folder, "up", "--replicas", "1", "--workers", "0", "--free-ports", MODEL_NAME=str(tiny_checkpoint), DEVICE="cpu"
    )
    assert up.returncode == 0, up.stderr
    cluster = Cluster(folder)
    assert f"http://localhost:{cluster.ports['api']}" in up.stdout
    health = httpx.get(f"{cluster.url}{API}/health").json()
    assert health["status"] == "ok"
    assert run(folder, "status").returncode == 0
    assert all((folder / "logs" / f"{service.name}.log").exists() for service in cluster.running())

    twice = run(folder, "up", MODEL_NAME=str(tiny_checkpoint))
    assert (twice.returncode, "runs in" in twice.stderr) == (1, True), twice.stderr

    cluster.kill("replica-1")
    seen = run(folder, "status")
    assert (seen.returncode, "stopped" in seen.stdout) == (1, True)
    restarted = run(folder, "restart", "replica-1")
    assert restarted.returncode == 0, restarted.stderr
    assert run(folder, "status").returncode == 0
    assert run(folder, "restart", "replica-9").returncode == 1

    assert run(folder, "down").returncode == 0
    assert left_in(folder) == []


def test_what_was_started_is_stopped_when_a_part_fails(folder: Path) -> None:
    up = run(folder, "up", "--free-ports", "--workers", "0", MODEL_NAME="/nowhere/at/all")
    assert up.returncode == 1
    assert "replica-1" in up.stderr
    assert "/nowhere/at/all" in up.stderr, "the end of the log says why"
    assert left_in(folder) == []


def test_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidRequest, match=f"Port {port}, for api, is taken"):
            Cluster(tmp_path).up(Plan(qdrant_url="http://127.0.0.1:1", ports={"api": port}))


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
