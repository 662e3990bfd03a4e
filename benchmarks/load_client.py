#!/usr/bin/env python3
"""Send `POST /api/v1/search` to a server over many connections at once, and print the results as JSON.

It uses raw sockets, and makes the bytes of every request before the clock starts, because a client that uses much of
the processor would measure itself. It needs only the standard library.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import os
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Load:
    """Results of a round of requests."""

    requests: int
    seconds: float
    rate: float
    """Requests per second."""
    p50_ms: float
    p95_ms: float
    max_ms: float


def main() -> None:
    """Parse the command line, send, print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
        epilog="Example: benchmarks/load_client.py photos/ --port 8000 --clients 32 --requests 320 --distinct",
    )
    parser.add_argument("photos", type=Path, help="folder of image files, taken in turn")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--clients", type=int, default=1, help="connections, each with one request at a time")
    parser.add_argument("--requests", type=int, default=100, help="in all; default: %(default)s")
    parser.add_argument("--distinct", action="store_true", help="make every image new to the server, so none is cached")
    arguments = parser.parse_args()
    photos = [path.read_bytes() for path in sorted(arguments.photos.iterdir()) if path.is_file()]
    count = arguments.requests if arguments.distinct else len(photos)
    requests = [request(photo, unseen=arguments.distinct) for photo in itertools.islice(itertools.cycle(photos), count)]
    queue = itertools.islice(itertools.cycle(requests), arguments.requests)
    print(json.dumps(asdict(send(arguments.host, arguments.port, queue, clients=arguments.clients))))


def send(host: str, port: int, requests: Iterator[bytes], *, clients: int) -> Load:
    """Send `requests` over `clients` connections; raises RuntimeError for any answer other than 200."""
    milliseconds: list[float] = []
    failures: list[str] = []
    lock = threading.Lock()

    def work(connection: socket.socket) -> None:
        while not failures:
            with lock:
                request = next(requests, None)
            if request is None:
                return
            started = time.perf_counter()
            try:
                _exchange(connection, request)
            except (OSError, RuntimeError) as error:
                failures.append(str(error))
            milliseconds.append((time.perf_counter() - started) * 1000)

    connections = [socket.create_connection((host, port), timeout=120) for _ in range(clients)]
    threads = [threading.Thread(target=work, args=(connection,)) for connection in connections]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    for connection in connections:
        connection.close()
    if failures:
        raise RuntimeError(failures[0])
    milliseconds.sort()
    return Load(
        requests=len(milliseconds),
        seconds=seconds,
        rate=len(milliseconds) / seconds,
        p50_ms=statistics.median(milliseconds),
        p95_ms=milliseconds[int(0.95 * (len(milliseconds) - 1))],
        max_ms=milliseconds[-1],
    )


def request(photo: bytes, *, unseen: bool) -> bytes:
    """Return all bytes of a search; `unseen` makes the image one that the server cannot know."""
    if unseen:
        # After the end-of-image marker, where no decoder reads: other bytes, but the same work.
        photo += os.urandom(16)
    body = b'{"image_data":"' + base64.b64encode(photo) + b'","top_k":10}'
    head = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return b"POST /api/v1/search HTTP/1.1\r\n" + head.encode() + body


def _exchange(connection: socket.socket, request: bytes) -> None:
    connection.sendall(request)
    answer = connection.recv(65536)
    while b"\r\n\r\n" not in answer:
        answer += _more(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += _more(connection)
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(body.decode(errors="replace"))


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise RuntimeError("The server closed the connection.")
    return data


if __name__ == "__main__":
    main()
