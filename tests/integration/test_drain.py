"""A server that is told to stop tells its balancer first."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx

from tests.support.sample_images import encoded, photo
from tests.support.servers import API, PATIENCE, free_port, server_process


def test_server_told_to_stop_serves_on_but_is_not_ready_until_it_stops(tmp_path: Path) -> None:
    # Long, so that no slow machine ends it early; a second signal ends it below.
    env = {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": "mini", "DRAIN_SECONDS": "60"}
    port = free_port()
    with (
        server_process(port, env, tmp_path / "log") as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}{API}", timeout=PATIENCE) as client,
    ):
        process.send_signal(signal.SIGTERM)
        while (ready := client.get("/ready")).status_code == 200:
            pass
        assert (ready.status_code, ready.json()["code"]) == (503, "draining")
        assert client.get("/health").status_code == 200
        assert client.post("/search", files={"image": ("x", encoded(photo(32, 32), "PNG"))}).status_code == 200
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


def test_server_stops_by_itself_after_draining(tmp_path: Path) -> None:
    env = {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": "mini", "DRAIN_SECONDS": "0.5"}
    with server_process(free_port(), env, tmp_path / "log") as process:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
