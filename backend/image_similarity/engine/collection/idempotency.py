"""What a request is about to do, by its Idempotency-Key: sent again, it is answered as it was to be the first time.

    requests/COLLECTION/SHA256   what a deletion or a restoration with that key is about to do to an image

The balancer sends a request again if a replica dies, or says 503, before it has answered; the first attempt may have
done it by then. docs/decisions/0002-repeated-writes.md lists all requests.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from image_similarity.engine.sweeping import run_periodically
from image_similarity.storage.objects import Objects

KEEP_SECONDS = 900.0
"""Longer than the balancer goes on: five attempts of at most two minutes each."""

SWEEP_SECONDS = 300.0
"""Between two sweeps of a process, half as long again at most."""


@dataclass(frozen=True, slots=True)
class Request:
    """What names one change of one image, however often it is sent."""

    action: str
    image_id: str
    key: str
    """The Idempotency-Key."""


class Repeats:
    """The requests of one collection. Every method raises StoreUnavailable if the storage does not answer."""

    def __init__(self, objects: Objects, *, collection: str) -> None:
        self._objects = objects
        self._folder = f"requests/{collection}"

    async def begin(self, request: Request, doing: dict[str, Any]) -> bool:
        """Note what the request is about to do; tells whether it is the first time that it comes this far."""
        return await self._objects.create(self._name(request), orjson.dumps(doing))

    async def find(self, request: Request) -> dict[str, Any] | None:
        """Return what the request was about to do when it came before, None if it did not."""
        document: dict[str, Any] | None = await self._objects.read_json(self._name(request))
        return document

    async def sweep(self) -> int:
        """Forget requests that nobody sends again; returns how many."""
        oldest = datetime.now(UTC) - timedelta(seconds=KEEP_SECONDS)
        old = [entry.key for entry in await self._objects.entries(self._folder) if entry.modified < oldest]
        await self._objects.delete(*old)
        return len(old)

    async def run_sweeps(self, stop: asyncio.Event) -> None:
        """Sweep now and then, whatever fails, until told to stop."""
        await run_periodically(
            self.sweep, stop, seconds=SWEEP_SECONDS, dropped="old_requests_forgotten", failed="requests_not_forgotten"
        )

    def _name(self, request: Request) -> str:
        # As JSON, so that no part can be taken for the end of another.
        text = orjson.dumps([request.action, request.image_id, request.key])
        return f"{self._folder}/{hashlib.sha256(text).hexdigest()}"
