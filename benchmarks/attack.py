#!/usr/bin/env python3
"""Attack your own server with small but costly requests, and print the effect of each.

    python benchmarks/attack.py [--only NAME ...] [--uploads 60]

It starts a server on loopback with the model `mini` and an empty data folder, sends one attack after the other, and
asks `/health` all the time meanwhile: the longest of these answers is how long the event loop stood at most, what the
machine and this program themselves kept waiting included. Memory is the peak of the server's own process (not of its
decoders) above what it held before. Linux only.
"""

from __future__ import annotations

import argparse
import io
import json
import socket
import statistics
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from benchmark_rig import Server, serving

# The images that the tests attack with.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.support.hostile import float_tiff, jpeg_of_scans

LIMIT = 120.0
"""Time limit of an attack, in seconds."""

JSON = {"content-type": "application/json"}


@dataclass
class Target:
    """A server under attack."""

    server: Server
    uploads: int

    @property
    def url(self) -> str:
        """URL of its API."""
        return f"http://127.0.0.1:{self.server.port}/api/v1"

    def post(self, path: str, content: bytes, headers: dict[str, str] | None = None) -> str:
        """Send a body; return the status and the code of the problem."""
        try:
            answer = httpx.post(self.url + path, content=content, headers=headers or JSON, timeout=LIMIT)
        except httpx.HTTPError as error:
            return type(error).__name__
        return _told(answer)

    def search(self, image: bytes) -> str:
        """Search with an image."""
        answer = httpx.post(f"{self.url}/search", files={"image": ("x", image)}, timeout=LIMIT)
        return _told(answer)

    def together(self, count: int, call: Callable[[int], str]) -> str:
        """Make calls at the same time; return the number of each answer."""
        with ThreadPoolExecutor(count) as threads:
            answers = Counter(threads.map(call, range(count)))
        return ", ".join(f"{number} x {told}" for told, number in answers.most_common())

    def reset_peak(self) -> int:
        """Reset the peak of memory; return the bytes in use now."""
        Path(f"/proc/{self.server.pid}/clear_refs").write_text("5")
        return self._memory("VmRSS")

    def peak(self) -> int:
        """Return the peak of memory since then, in bytes."""
        return self._memory("VmHWM")

    def _memory(self, field: str) -> int:
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(field))


class Pulse:
    """Requests `/health` continuously."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/health"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.seconds: list[float] = []

    def __enter__(self) -> Pulse:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(timeout=LIMIT) as client:
            while not self._stop.is_set():
                started = time.perf_counter()
                client.get(self._url)
                self.seconds.append(time.perf_counter() - started)
                self._stop.wait(0.005)


def zeros(target: Target) -> str:
    """20 MB of JSON that is wrong ten million times."""
    return target.post("/search", b'{"positive":[' + b"0," * 9_900_000 + b"0]}")


def scans(target: Target) -> str:
    """Two progressive JPEGs of 8,000 empty scans."""
    image = jpeg_of_scans(8000, side=4000)
    return target.together(2, lambda _: target.search(image))


def floats(target: Target) -> str:
    """Two TIFFs of 80 megapixels of 32 bits."""
    image = float_tiff(10_000, 8_000)
    return target.together(2, lambda _: target.search(image))


def fields(target: Target) -> str:
    """A filter of 256 fields."""
    return target.post("/search", json.dumps({"text": "a", "filter": {f"f{n}": 1 for n in range(256)}}).encode())


def charset(target: Target) -> str:
    """A form of 1 MB in punycode."""
    form = b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\n' + b"a" * 1_000_000 + b"\r\n--x--\r\n"
    return target.post("/search", form, {"content-type": "multipart/form-data; boundary=x; charset=punycode"})


def head(target: Target) -> str:
    """A header of 64 MB."""
    with socket.create_connection(("127.0.0.1", target.server.port), timeout=LIMIT) as connection:
        try:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
            for _ in range(64):
                connection.sendall(b"a" * 2**20)
            return connection.recv(12).decode(errors="replace")
        except OSError:
            return "closed"


def metadata(target: Target) -> str:
    """200 images are indexed, one by one, each with 62 kB of metadata in 2,600 keys."""
    photo = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(photo, "PNG")
    large = json.dumps({f"key{number}": f"value-{number}" for number in range(2600)})
    with httpx.Client(timeout=LIMIT) as client:
        for number in range(200):
            form = {"image_id": f"large-{number}", "metadata": large}
            client.post(f"{target.url}/index", files={"image": ("x", photo.getvalue())}, data=form).raise_for_status()
    return "indexed"


def answer(target: Target) -> str:
    """A search for 1,000 results with that metadata."""
    return target.post("/images/large-0/similar", b'{"top_k":1000}')


def case(target: Target) -> str:
    """21 MB as Application/JSON, which once lifted the limit of JSON."""
    return target.post("/index/batch", b" " * 21 * 2**20, {"content-type": "Application/JSON"})


def archive(target: Target) -> str:
    """An archive whose 20 headers have comments of 19 MB."""
    return target.post("/index/batch", _archive(), {"content-type": "application/gzip"})


@cache
def _archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT) as out:
        for number in range(20):
            entry = tarfile.TarInfo(f"{number}.txt")
            entry.pax_headers = {"comment": "x" * 19_000_000}
            out.addfile(entry)
    return packed.getvalue()


def uploads(target: Target) -> str:
    """Many uploads of 19 MB at the same time."""
    image = bytes(19 * 2**20)
    return target.together(target.uploads, lambda _: target.search(image))


ATTACKS = (zeros, scans, floats, fields, charset, head, metadata, answer, case, archive, uploads)


def attack(target: Target, act: Callable[[Target], str]) -> None:
    """Attack once, and print a row of the table."""
    if act is archive:
        # Made before the clock starts, because making it takes longer than refusing it.
        _archive()
    held = target.reset_peak()
    with Pulse(target.url) as pulse:
        time.sleep(0.5)
        calm, count = max(pulse.seconds), len(pulse.seconds)
        started = time.perf_counter()
        told = act(target)
        took = time.perf_counter() - started
    worst, usual = max(pulse.seconds[count - 1 :]), statistics.median(pulse.seconds)
    what = (act.__doc__ or "").rstrip(".")
    more = (target.peak() - held) / 2**20
    print(
        f"| {what} | {told} | {took:.1f} s | {worst * 1000:.0f} ms ({calm * 1000:.0f} before, median "
        f"{usual * 1000:.0f}) | +{more:.0f} MiB |",
        flush=True,
    )


def main() -> None:
    """Run the chosen attacks."""
    names = [act.__name__ for act in ATTACKS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="which attacks; default: all")
    parser.add_argument("--uploads", type=int, default=60, help="uploads at the same time (default: %(default)s)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {"DATA_DIR": f"{folder}/data", "MODEL_NAME": "mini", "LOG_LEVEL": "ERROR"}
        with serving(environment, Path(folder, "log")) as server:
            target = Target(server, given.uploads)
            target.search(b"")
            print("| attack | answer | after | longest wait for /health | memory |\n| --- | --- | --- | --- | --- |")
            for act in ATTACKS:
                if act.__name__ in given.only or (act is metadata and "answer" in given.only):
                    attack(target, act)


def _told(answer: httpx.Response) -> str:
    code = "" if answer.is_success else f" {answer.json().get('code', '')}"
    return f"{answer.status_code}{code}"


if __name__ == "__main__":
    main()
