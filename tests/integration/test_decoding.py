"""A server whose decoders hang or die goes on, says so, and stops when it is told to."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.crashing_cli import ENDLESS
from tests.support.jobs import serving
from tests.support.sample_images import encoded, photo
from tests.support.servers import API, PATIENCE, free_port, server_process, wait_for

PHOTO = encoded(photo(64, 48), "PNG")


def test_a_server_whose_threads_hang_is_not_ready_and_stops_when_told(tmp_path: Path, tiny_checkpoint: Path) -> None:
    env = {
        "DATA_DIR": str(tmp_path / "data"),
        "MODEL_NAME": str(tiny_checkpoint),
        "DECODE_THREADS": "1",
        "DECODE_TIMEOUT": "0.5",
        "IMPATIENT": "1",
    }
    port, log = free_port(), tmp_path / "log"
    with (
        serving(env, log, port) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}{API}", timeout=PATIENCE) as client,
    ):
        answer = client.post("/search", files={"image": ("x", PHOTO + ENDLESS)})
        assert (answer.status_code, answer.json()["code"]) == (422, "decode_timeout")
        ready = client.get("/ready")
        assert ready.status_code == 503
        assert "decoders are at images" in ready.json()["detail"]
        # It waits for a decoder as long as an image may take and a little more, and no longer.
        answer = client.post("/search", files={"image": ("x", PHOTO)})
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert int(answer.headers["Retry-After"]) >= 1
        # At SIGTERM uvicorn ends with the signal itself; at this one Python would wait for the thread for ever.
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
    assert "ended_before_all_was_done" in log.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="decoding processes need Linux")
def test_decoding_processes_are_replaced_and_do_not_outlive_the_server(tmp_path: Path, tiny_checkpoint: Path) -> None:
    env = {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": str(tiny_checkpoint), "DECODE_ISOLATION": "process"}
    port = free_port()
    with (
        server_process(port, env, tmp_path / "log") as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}{API}", timeout=PATIENCE) as client,
    ):
        server = psutil.Process(process.pid)
        wait_for(server.children, "no decoding process was started")
        for decoder in server.children():
            assert {*decoder.environ()} <= {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MALLOC_ARENA_MAX", "LC_CTYPE"}
            decoder.kill()
        assert client.post("/search", files={"image": ("x", PHOTO)}).status_code == 200
        decoders = server.children()
        assert decoders
        server.kill()
        process.wait(PATIENCE)
        assert not psutil.wait_procs(decoders, timeout=PATIENCE)[1]
