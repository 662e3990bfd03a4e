"""Fixtures of the benchmark: photographs, collections of any size, servers, the load client, the bare model."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from load_test.photos import shipped_photos

SHARED_PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "images"
PATIENCE = 300
"""Seconds after which a process that has not finished counts as stuck."""

_LOAD_CLIENT = Path(__file__).with_name("load_client.py")
_COMMAND = Path(sys.executable).with_name("image-similarity")


@dataclass(frozen=True)
class Server:
    """A running `image-similarity serve`."""

    port: int
    pid: int

    def load(self, photos: Path, *, clients: int, requests: int, distinct: bool) -> dict[str, float]:
        """Send searches from a separate process; return the fields of `load_client.Load`."""
        options = ["--port", self.port, "--clients", clients, "--requests", requests]
        if distinct:
            options.append("--distinct")
        command = [sys.executable, _LOAD_CLIENT, photos, *options]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode:
            raise RuntimeError(f"The load client failed: {done.stderr.strip().splitlines()[-1]}")
        answer: dict[str, float] = json.loads(done.stdout)
        return answer

    def resident_bytes(self) -> int:
        """Return the memory of the process, including its mapped files."""
        answer = subprocess.run(["ps", "-o", "rss=", "-p", str(self.pid)], capture_output=True, text=True, check=True)
        return int(answer.stdout) * 1024


@contextmanager
def serving(environment: dict[str, str], log: Path) -> Iterator[Server]:
    """Start a server on a free port of this machine; it has answered once when the block begins."""
    port = free_port()
    command = [str(_COMMAND), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=_clean(environment), stdout=output, stderr=output)
    try:
        _wait_until_ready(port, process, log)
        yield Server(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a program takes connections. Raises RuntimeError if it ends, or takes too long."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return
        time.sleep(0.1)
    raise RuntimeError(f"{process.args!r} does not listen on port {port}.")


def index_rate(environment: dict[str, str], folder: Path) -> float:
    """Run `image-similarity index` on a folder and return the images per second that it reports.

    The command's clock starts when the model is loaded and the collection is open. So it leaves out the start, which
    would take most of the time of a short run.
    """
    command = [str(_COMMAND), "index", str(folder)]
    done = subprocess.run(command, env=_clean(environment), capture_output=True, text=True, timeout=PATIENCE)
    rates = re.findall(r"([\d.]+) images/s", done.stderr)
    if done.returncode or not rates:
        raise RuntimeError(f"image-similarity index failed: {done.stderr.strip()[-500:]}")
    return float(rates[-1])


def fill(settings: Any, encoder: Any, count: int, kind: Any = "embedded") -> None:
    """Write `count` records with random vectors straight into the collection of `settings`; `kind` is a StoreKind."""
    import asyncio

    from image_similarity.bootstrap.deployment import StoreKind
    from image_similarity.bootstrap.stores import open_collection
    from image_similarity.domain.records import ImageRecord
    from image_similarity.vectors.collection import CollectionMeta

    random = np.random.default_rng(0)
    moment = datetime(2026, 1, 1, tzinfo=UTC)

    async def write() -> None:
        meta = CollectionMeta(encoder.spec.name, encoder.spec.dimension)
        store = await open_collection(settings, StoreKind(kind), meta)
        try:
            for first in range(0, count, 1000):
                vectors = random.standard_normal((min(1000, count - first), encoder.spec.dimension), dtype=np.float32)
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                records = [
                    ImageRecord(
                        image_id=f"synthetic/{number:07}.jpg",
                        sha256=f"{number:064x}",
                        width=500,
                        height=375,
                        format="JPEG",
                        indexed_at=moment + timedelta(seconds=number),
                        metadata={"species": "synthetic", "number": number},
                    )
                    for number in range(first, first + len(vectors))
                ]
                await store.upsert(list(zip(records, vectors, strict=True)))
        finally:
            await store.close()

    asyncio.run(write())


def gather_photos(target: Path, count: int) -> Path:
    """Return a folder of photographs of about 100 kB: those beside the repository, else cut from shipped ones."""
    if SHARED_PHOTOS.is_dir():
        return SHARED_PHOTOS
    target.mkdir()
    for number, photo in enumerate(shipped_photos(count)):
        (target / f"{number:03}.jpg").write_bytes(photo)
    return target


def copies(photos: Path, target: Path, count: int) -> Path:
    """Write `count` files of which no two have the same bytes, made of the photos in turn."""
    target.mkdir()
    originals = [path.read_bytes() for path in sorted(photos.iterdir()) if path.is_file()]
    for number in range(count):
        # After the end-of-image marker, where no decoder reads.
        (target / f"{number:05}.jpg").write_bytes(originals[number % len(originals)] + os.urandom(16))
    return target


def wait_for_quiet(patience: float) -> None:
    """Wait until the processor has been idle for a second, at most `patience` seconds; only Linux can tell."""
    statistics = Path("/proc/stat")
    deadline = time.monotonic() + patience
    while statistics.exists() and time.monotonic() < deadline:
        before = _processor_times(statistics)
        time.sleep(1)
        idle, total = np.subtract(_processor_times(statistics), before)
        if idle > 0.9 * total:
            return


def _processor_times(statistics: Path) -> tuple[int, int]:
    times = [int(ticks) for ticks in statistics.read_text().splitlines()[0].split()[1:]]
    return times[3] + times[4], sum(times)


def seconds_to_encode(encoder: Any, batch_size: int, batches: int) -> float:
    """Return the bare model's median time for one batch of ready pixels."""
    side = encoder.spec.input_size
    pixels = np.random.default_rng(0).integers(0, 256, (batch_size, side, side, 3), dtype=np.uint8)
    return median_seconds(lambda: encoder.encode_images(pixels), batches)


def seconds_to_decode(encoder: Any, photos: Path) -> float:
    """Return the median time from an image's bytes to the model's pixels, on one thread, alone."""
    from image_similarity.images.decode import decode
    from image_similarity.images.thumbnail import THUMBNAIL_SIDE

    files = iter([path.read_bytes() for path in sorted(photos.iterdir()) if path.is_file()][:50])

    def work() -> None:
        decoded = decode(
            next(files),
            max_pixels=80_000_000,
            min_short_side=encoder.spec.input_size,
            min_long_side=THUMBNAIL_SIDE,
        )
        encoder.preprocess(decoded.image)

    return median_seconds(work, 20)


def median_seconds(work: Any, times: int) -> float:
    """Return the median time of `work`, after one run that is not counted."""
    work()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def _clean(environment: dict[str, str]) -> dict[str, str]:
    """Return this process's environment plus `environment`, without the user's own settings."""
    from image_similarity.settings import Settings

    kept = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    return {**kept, "COLUMNS": "200", "NO_COLOR": "1", **environment}


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"The server did not start: {log.read_text(errors='replace')[-500:]}")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/api/v1/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"The server was not ready after {PATIENCE} s.")
