"""Many clients at a time, each with a connection of its own."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.servers import PATIENCE

MOST_REQUESTS = 200
"""A client stops after so many, whatever happens."""


@dataclass
class Load:
    """What the clients have seen so far."""

    answered: Counter[str] = field(default_factory=Counter)
    """Requests answered with 200, by replica."""
    failed: list[str] = field(default_factory=list)
    _more: threading.Condition = field(default_factory=threading.Condition)

    def note(self, replica: str | None, failure: str = "") -> None:
        with self._more:
            if replica is None:
                self.failed.append(failure)
            else:
                self.answered[replica] += 1
            self._more.notify_all()

    def wait_for(self, more: int) -> None:
        """Wait until so many further requests have ended."""
        with self._more:
            goal = self._ended() + more
            assert self._more.wait_for(lambda: self._ended() >= goal, PATIENCE), "the clients are stuck"

    def _ended(self) -> int:
        return self.answered.total() + len(self.failed)


@contextmanager
def posting(url: str, path: str, body: bytes, *, clients: int) -> Iterator[Load]:
    """Let clients post `body` again and again while the block runs; all have their last answer when it ends."""
    load = Load()
    enough = threading.Event()
    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(_post_until, enough, load, urlsplit(url).netloc, path, body) for _ in range(clients)]
        try:
            yield load
        finally:
            enough.set()
    for client in running:
        client.result()


def _post_until(enough: threading.Event, load: Load, netloc: str, path: str, body: bytes) -> None:
    connection = http.client.HTTPConnection(netloc, timeout=PATIENCE)
    try:
        for _ in range(MOST_REQUESTS):
            if enough.is_set():
                return
            try:
                connection.request("POST", path, body)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                load.note(None, repr(error))
                connection.close()
            else:
                ok = answer.status == 200
                load.note(json.loads(content)["replica"] if ok else None, f"{answer.status} {content!r}")
    finally:
        connection.close()
