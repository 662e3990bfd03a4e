"""The load tests as a person runs them, against a real server."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.load.conftest import KEY
from tests.support.paths import REPOSITORY
from tests.support.sample_images import encoded, photo
from tests.support.servers import PATIENCE, RunningServer, free_port

SIMPLE = REPOSITORY / "benchmarks" / "load_test_simple.py"
Done = subprocess.CompletedProcess[str]


@pytest.fixture
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of photographs, for cutting those that packages ship takes seconds each time."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(3):
        (folder / f"{seed}.jpg").write_bytes(encoded(photo(seed=seed), "JPEG"))
    return folder


def run_simple(output: Path, *options: object, key: str = KEY, script: Path = SIMPLE) -> Done:
    return subprocess.run(
        [sys.executable, script, "--output", output, *map(str, options)],
        env={**os.environ, "IMAGE_SIMILARITY_API_KEY": key, "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def figures(output: Path, name: str = "load_test_simple") -> dict[str, Any]:
    return json.loads((output / f"{name}.json").read_text())


def images(server: RunningServer) -> int:
    return int(server.http.get("/stats").json()["collection"]["images"])


def test_a_run_prints_the_block_and_writes_figures_and_a_report(server: RunningServer, tmp_path: Path) -> None:
    before = images(server)
    done = run_simple(tmp_path, "--url", server.url, "--seconds", "2", "--clients", "3", "--queries", "5")

    assert done.returncode == 0, done.stderr
    found = figures(tmp_path)
    index, search = found["index"], found["search"]
    assert found["failed"] == 0
    assert found["success_percent"] == 100
    assert index["count"] + search["count"] == found["operations"] == found["total"]["count"]
    assert abs(index["count"] - search["count"]) <= 1
    assert 0 < index["p50_ms"] <= index["p95_ms"] <= index["p99_ms"] <= index["max_ms"]
    assert found["total"]["throughput"] == pytest.approx(found["operations"] / found["duration_s"])
    assert sum(part["index"]["count"] + part["search"]["count"] for part in found["timeline"]) == found["operations"]
    # What the server has is what the clients say they gave it.
    assert images(server) - before == index["count"]
    assert re.search(
        rf"operations +{found['operations']:,}\n +errors +0\n +success rate +100.000 %\nINDEX\n", done.stdout
    )
    assert f"TOTAL THROUGHPUT      {found['total']['throughput']:.2f} ops/s" in done.stdout
    assert (tmp_path / "load_test_simple.html").read_text().startswith("<!doctype html>")
    assert KEY not in done.stdout + done.stderr + json.dumps(found)


def test_popular_queries_come_from_the_cache_while_nothing_is_written(
    server: RunningServer, photos: Path, tmp_path: Path
) -> None:
    options = ("--photos", photos, "--seconds", "2", "--clients", "2", "--queries", "3", "--index-share", "0")
    done = run_simple(tmp_path, "--url", server.url, *options)

    assert done.returncode == 0, done.stderr
    found = figures(tmp_path)
    assert found["index"]["count"] == 0
    # Three queries are asked for the first time, and each client may ask one that the other has not been answered.
    assert found["search"]["count"] > 0
    assert found["cached"] >= found["search"]["count"] - 6
    assert "stay on the server" not in done.stderr


def test_what_was_indexed_can_be_deleted_afterwards(server: RunningServer, photos: Path, tmp_path: Path) -> None:
    before = images(server)
    done = run_simple(
        tmp_path,
        "--url",
        server.url,
        "--seconds",
        "1",
        "--clients",
        "2",
        "--index-share",
        "1",
        "--delete",
        "--photos",
        photos,
    )

    assert done.returncode == 0, done.stderr
    assert figures(tmp_path)["index"]["count"] > 0
    assert images(server) == before


def test_requests_that_the_server_rejects_are_errors_and_the_run_fails(
    server: RunningServer, photos: Path, tmp_path: Path
) -> None:
    done = run_simple(
        tmp_path, "--url", server.url, "--seconds", "1", "--clients", "2", "--photos", photos, key="wrong"
    )

    assert done.returncode == 1
    found = figures(tmp_path)
    assert found["errors"] == {"401 unauthorized": found["operations"]}
    assert found["total"]["count"] == found["success_percent"] == 0
    assert f"{found['operations']:,}  (401 unauthorized: {found['operations']:,})" in done.stdout
    assert "401 unauthorized" in (tmp_path / "load_test_simple.html").read_text()
    assert "Fewer than 99.997 %" in done.stderr


def test_connections_that_break_and_answers_that_never_come_are_errors(photos: Path, tmp_path: Path) -> None:
    """Every second connection is closed at once; the others are left without an answer."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:

        def accept() -> None:
            for number in range(10_000):
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                # The very first is the look whether a server is there at all.
                if number % 2:
                    connection.close()
                else:
                    kept.append(connection)

        threading.Thread(target=accept, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        done = run_simple(
            tmp_path,
            "--url",
            url,
            "--seconds",
            "1",
            "--clients",
            "4",
            "--timeout",
            "2",
            "--min-success",
            "0",
            "--photos",
            photos,
        )
    for connection in kept:
        connection.close()

    assert done.returncode == 0, done.stderr
    found = figures(tmp_path)
    assert set(found["errors"]) == {"connection lost", "timeout"}
    assert found["success_percent"] == 0


def test_a_run_that_is_interrupted_reports_what_it_measured(
    server: RunningServer, photos: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        SIMPLE,
        "--url",
        server.url,
        "--seconds",
        "600",
        "--clients",
        "2",
        "--photos",
        photos,
        "--output",
        tmp_path,
    ]
    environment = {**os.environ, "IMAGE_SIMILARITY_API_KEY": KEY}
    before = images(server)
    with subprocess.Popen(map(str, command), env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while images(server) < before + 3:
                assert process.poll() is None
                assert time.monotonic() < deadline, "nothing is indexed"
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            stdout, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()

    assert process.returncode == 130
    assert "interrupted" in stdout.splitlines()[0]
    assert figures(tmp_path)["interrupted"] is True
    assert figures(tmp_path)["index"]["count"] == images(server) - before


def test_a_server_that_is_away_or_elsewhere_is_told_of_at_once(tmp_path: Path) -> None:
    away = run_simple(tmp_path, "--url", f"http://127.0.0.1:{free_port()}")
    assert away.returncode == 2
    assert "No server accepts connections" in away.stderr

    elsewhere = run_simple(tmp_path, "--url", "http://192.0.2.1", script=SIMPLE.with_name("load_test_million.py"))
    assert elsewhere.returncode == 2
    assert "--allow-remote" in elsewhere.stderr
    assert not list(tmp_path.iterdir())


Enough = Callable[[], bool]


def run_locust(host: str, *options: object, key: str = KEY, enough: Enough = lambda: False) -> Done:
    """Run Locust without its page, for ten minutes or until `enough`, and return what it printed."""
    command = [Path(sys.executable).with_name("locust"), "--config", "tests/load/headless.conf", "--run-time", "10m"]
    sizes = ["--users", 5, "--spawn-rate", 10, "--think", 0.1, "--queries", 5]
    with subprocess.Popen(
        [str(part) for part in (*command, "--host", host, *sizes, *options)],
        cwd=REPOSITORY,
        env={**os.environ, "IMAGE_SIMILARITY_API_KEY": key},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while process.poll() is None and not enough():
                assert time.monotonic() < deadline, "locust did not get so far"
                time.sleep(0.05)
            process.terminate()
            stdout, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return subprocess.CompletedProcess(command, process.returncode, stdout)


def answered(server: RunningServer, route: str, status: int) -> int:
    """Return how often the server answered so, by its own count."""
    metrics = httpx.get(f"{server.url}/metrics").text
    labels = rf'method="POST",route="/api/v1/{route}",status="{status}"'
    found = re.search(
        rf"^image_similarity_http_request_duration_seconds_count{{{labels}}} ([\d.]+)$", metrics, re.MULTILINE
    )
    return int(float(found[1])) if found else 0


def test_locust_sends_users_who_search_and_users_who_index(server: RunningServer, photos: Path, tmp_path: Path) -> None:
    before, searched = images(server), answered(server, "search", 200)
    done = run_locust(
        server.url,
        *("--photos", photos, "--json-file", tmp_path / "locust"),
        enough=lambda: images(server) >= before + 5 and answered(server, "search", 200) >= searched + 10,
    )

    assert done.returncode == 0, done.stdout
    assert "All users spawned" in done.stdout
    found = {row["name"]: row for row in json.loads((tmp_path / "locust.json").read_text())}
    assert set(found) >= {"search", "index"}
    assert all(row["num_requests"] > 0 and row["num_failures"] == 0 for row in found.values())
    # A user may be stopped while the server is at work for it.
    assert images(server) - before >= found["index"]["num_requests"]


def test_locust_counts_what_the_server_rejects_and_fails(server: RunningServer, photos: Path) -> None:
    before = answered(server, "search", 401)
    done = run_locust(
        server.url,
        *("--photos", photos),
        key="wrong",
        enough=lambda: answered(server, "search", 401) >= before + 10,
    )
    assert done.returncode == 1
    assert re.search(r"POST search: .*401 unauthorized", done.stdout)


def test_locust_sends_no_load_to_another_machine() -> None:
    done = run_locust("http://192.0.2.1")
    assert done.returncode == 1
    assert "--allow-remote" in done.stdout
