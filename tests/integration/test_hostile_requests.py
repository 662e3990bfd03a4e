"""Hostile bodies and odd files, sent to a server that decodes in processes: it answers each, and stays as it was."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest

from tests.support.hostile import float_tiff, jpeg_of_scans, png
from tests.support.paths import SHARED
from tests.support.servers import API, free_port, server_process

ODD = SHARED / "odd-images"
EVERY = 200
"""Of the odd files, one in so many; `tests/unit/images/test_odd_images.py` decodes all of them."""

MEMORY = 600 * 2**20
"""Most bytes that the server may have held above what it held at the beginning."""

JSON = "application/json"
BODIES = [
    (b'{"image_data":"","positive":[' + b"0," * 2_000_000 + b"0]}", JSON),
    (b'{"query":[' + b"{}," * 300_000 + b"{}]}", JSON),
    (b'{"image_data":"x","metadata":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}", JSON),
    (b'{"image_data":"' + b"A" * 3_000_000 + b'"}', JSON),
    (b'{"image_data":"' + b"\\u0041" * 1_000_000, JSON),
    (b"--x\r\n" * 100_000, "multipart/form-data; boundary=x"),
    (b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n', "multipart/form-data; boundary=x"),
]
FILES = [jpeg_of_scans(8000), float_tiff(2000, 2000), png("I;16", 2000, 2000)]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_nothing_that_is_sent_hurts_the_server(tmp_path: Path) -> None:
    odd = [path.read_bytes() for path in sorted(ODD.rglob("*")) if path.is_file()][::EVERY] if ODD.is_dir() else []
    port, log = free_port(), tmp_path / "server.log"
    env = {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": "mini", "DECODE_ISOLATION": "process"}
    with (
        server_process(port, env, log) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}{API}", timeout=120) as client,
    ):
        before = peak(process.pid)
        statuses = [
            client.post(path, content=body, headers={"Content-Type": given}).status_code
            for body, given in BODIES
            for path in ("/search", "/index", "/index/batch")
        ]
        statuses += [client.post("/search", files={"image": ("x", data)}).status_code for data in (*FILES, *odd)]
        assert {status for status in statuses if status >= 500} <= {503, 507}
        assert client.get("/ready").status_code == 200
        assert process.poll() is None
        assert peak(process.pid) - before < MEMORY
    assert "internal_error" not in log.read_text()


def peak(pid: int) -> int:
    """Return the most bytes of memory that a process has held."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
