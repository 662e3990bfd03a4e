"""Notes of requests by Idempotency-Key: a repeated request gets the answer that the first one should have got.

    requests/COLLECTION/SHA256   the planned change of a deletion or a restoration with that key

The balancer repeats a request if a replica dies or answers 503; the first attempt may have made the change before that.
docs/decisions/0002-repeated-writes.md lists all requests.
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
"""Longer than the balancer retries: five attempts of at most two minutes each."""

SWEEP_SECONDS = 300.0
"""Between two sweeps of a process; up to half as long again."""


@dataclass(frozen=True, slots=True)
class Request:
    """The identity of one change of one image, the same for each repetition."""

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
        """Store the planned change of a request; return whether no earlier attempt has stored one."""
        return await self._objects.create(self._name(request), orjson.dumps(doing))

    async def find(self, request: Request) -> dict[str, Any] | None:
        """Return the planned change of an earlier attempt, None if there was none."""
        document: dict[str, Any] | None = await self._objects.read_json(self._name(request))
        return document

    async def sweep(self) -> int:
        """Remove notes that are too old for a retry; return how many."""
        oldest = datetime.now(UTC) - timedelta(seconds=KEEP_SECONDS)
        old = [entry.key for entry in await self._objects.entries(self._folder) if entry.modified < oldest]
        await self._objects.delete(*old)
        return len(old)

    async def run_sweeps(self, stop: asyncio.Event) -> None:
        """Sweep regularly until `stop` is set; failures are logged."""
        await run_periodically(
            self.sweep, stop, seconds=SWEEP_SECONDS, dropped="old_requests_forgotten", failed="requests_not_forgotten"
        )

    def _name(self, request: Request) -> str:
        # As JSON, so that different parts never give the same text.
        text = orjson.dumps([request.action, request.image_id, request.key])
        return f"{self._folder}/{hashlib.sha256(text).hexdigest()}"
