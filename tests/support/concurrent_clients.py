"""A crowd of clients that search and index through the balancer until told to stop, and keep account of it."""

from __future__ import annotations

import http.client
import json
import os
import random
import threading
from base64 import b64encode
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.servers import API, PATIENCE

MOST_REQUESTS = 2_000
"""A client stops after so many, whatever happens."""

PAUSE = 1.0
"""Seconds that a client thinks between two requests, at most; half as long on average."""


@dataclass
class Account:
    """What the clients have seen so far."""

    searches: int = 0
    cached: int = 0
    """Searches of those that were answered from the cache."""
    indexed: list[str] = field(default_factory=list)
    """The ids of the images whose indexing was acknowledged."""
    failed: list[str] = field(default_factory=list)
    _more: threading.Condition = field(default_factory=threading.Condition)

    @property
    def ended(self) -> int:
        return self.searches + len(self.indexed) + len(self.failed)

    @property
    def success_rate(self) -> float:
        return 1 - len(self.failed) / self.ended

    def note_search(self, *, cached: bool) -> None:
        with self._more:
            self.searches += 1
            self.cached += cached
            self._more.notify_all()

    def note_indexed(self, image_id: str) -> None:
        with self._more:
            self.indexed.append(image_id)
            self._more.notify_all()

    def note_failure(self, failure: str) -> None:
        with self._more:
            self.failed.append(failure)
            self._more.notify_all()

    def wait_for(self, more: int) -> None:
        """Wait until so many further requests have ended."""
        with self._more:
            goal = self.ended + more
            assert self._more.wait_for(lambda: self.ended >= goal, PATIENCE), "the clients are stuck"


@contextmanager
def concurrent_clients(
    url: str, photos: Sequence[bytes], *, clients: int = 100, indexing: float = 0.2
) -> Iterator[Account]:
    """Let clients search for `photos`, a few of them much more often than the rest (Zipf), while the block runs.

    `indexing` is the share of requests that add an image instead: one of the photos with other bytes behind its end,
    without an id, so that the server has to choose one. All clients have their last answer when the block ends.
    """
    account = Account()
    enough = threading.Event()
    with ThreadPoolExecutor(clients) as pool:
        running = [
            pool.submit(_work, enough, account, urlsplit(url).netloc, photos, indexing, random.Random(number))
            for number in range(clients)
        ]
        try:
            yield account
        finally:
            enough.set()
    for client in running:
        client.result()


def _work(
    enough: threading.Event,
    account: Account,
    netloc: str,
    photos: Sequence[bytes],
    indexing: float,
    chance: random.Random,
) -> None:
    weights = [1 / rank for rank in range(1, len(photos) + 1)]
    connection = http.client.HTTPConnection(netloc, timeout=PATIENCE)
    try:
        for _ in range(MOST_REQUESTS):
            if enough.is_set():
                return
            enough.wait(chance.uniform(0, PAUSE))
            (photo,) = chance.choices(photos, weights)
            if chance.random() < indexing:
                answer = _post(connection, account, "/index", photo + os.urandom(16))
                if answer is not None:
                    account.note_indexed(answer["image_id"])
            else:
                answer = _post(connection, account, "/search", photo)
                if answer is not None:
                    account.note_search(cached=answer["cached"])
    finally:
        connection.close()


def _post(
    connection: http.client.HTTPConnection, account: Account, path: str, image: bytes
) -> dict[str, object] | None:
    body = json.dumps({"image_data": b64encode(image).decode()})
    try:
        connection.request("POST", API + path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        account.note_failure(f"{path}: {error!r}")
        return None
    if answer.status != 200:
        account.note_failure(f"{path}: {answer.status} {content[:300]!r}")
        return None
    document: dict[str, object] = json.loads(content)
    return document
