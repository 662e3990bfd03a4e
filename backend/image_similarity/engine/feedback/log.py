"""Feedback events in the storage of the deployment, one object per event, never overwritten.

    feedback/COLLECTION/events/2026-11-21/UUID   an event; the day and the UUIDv7 come from its time
    feedback/COLLECTION/requests/SHA256          the event of the first request with that Idempotency-Key

Any number of processes may write at once: each creates its own objects, so no acknowledged event is lost or
overwritten. Listings are sorted by name, and so by time. If the clocks of processes differ, an event may come before
one that was received a moment earlier.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
from uuid_utils import uuid7

from image_similarity.domain.errors import InvalidCursor, InvalidRequest
from image_similarity.domain.queries import Query
from image_similarity.domain.uuids import time_of
from image_similarity.engine.feedback.events import FeedbackEvent, Verdict, from_json, to_json
from image_similarity.engine.sweeping import run_periodically
from image_similarity.storage.objects import Objects
from image_similarity.telemetry.logging import get_logger

REPEATED_WITHIN = 86_400.0
"""Seconds in which a request may be repeated with its key."""

SWEEP_SECONDS = 3600.0
"""Between two sweeps of a process; up to half as long again."""

_AT_ONCE = 64
"""Objects that are read at a time."""


class FeedbackLog:
    """The events of one collection. Every method raises StoreUnavailable if the storage does not answer."""

    def __init__(self, objects: Objects, *, collection: str, model: str, retention: float) -> None:
        """`retention` is in seconds, 0 means for ever; new events are stored with the name of the `model`."""
        self._objects = objects
        self._events = f"feedback/{collection}/events"
        self._requests = f"feedback/{collection}/requests"
        self._model = model
        self._retention = retention

    async def add(
        self,
        image_id: str,
        verdict: Verdict,
        *,
        query_id: str | None = None,
        query: Query | None = None,
        request_key: str | None = None,
    ) -> FeedbackEvent:
        """Store a verdict; if the `request_key` came before, store nothing and return the first event.

        Raises InvalidRequest if the first event was another verdict.
        """
        event = FeedbackEvent(str(uuid7()), self._model, query_id, query, image_id, verdict)
        if request_key is not None:
            event = await self._first(event, request_key)
        # Also for a repeated request: the process of the first one may have died before it stored the event.
        await self._objects.create(self._key(event.event_id), orjson.dumps(to_json(event)))
        return event

    async def page(self, *, limit: int, cursor: str | None = None) -> tuple[list[FeedbackEvent], str | None]:
        """Return up to `limit` events, oldest first, and the cursor of the next page, None on the last one.

        Raises InvalidCursor.
        """
        first, _, last = _read_cursor(cursor).partition("/") if cursor is not None else ("", "", "")
        keys: list[str] = []
        for day in await self._days():
            # One more than requested shows whether there is a next page.
            if len(keys) > limit:
                break
            if day >= first:
                after = last if day == first else ""
                wanted = limit + 1 - len(keys)
                names = await self._objects.names(f"{self._events}/{day}", after=after, limit=wanted)
                keys += [f"{day}/{name}" for name in names]
        events = await self._read(keys[:limit])
        return events, keys[limit - 1].rpartition("/")[2] if len(keys) > limit else None

    async def export(self) -> AsyncIterator[FeedbackEvent]:
        """Yield all events, oldest first; only a few are in memory at a time."""
        for day in await self._days():
            keys = await self._of_day(day)
            for start in range(0, len(keys), _AT_ONCE):
                for event in await self._read(keys[start : start + _AT_ONCE]):
                    yield event

    async def delete_all(self) -> int:
        """Remove all events; return how many there were."""
        await self._objects.delete_all(self._requests)
        deleted = 0
        for day in await self._days():
            keys = await self._of_day(day)
            await self._objects.delete(*(f"{self._events}/{key}" for key in keys))
            deleted += len(keys)
        return deleted

    async def sweep(self) -> int:
        """Remove events that are older than the retention; return how many."""
        now = datetime.now(UTC)
        repeatable = now - timedelta(seconds=REPEATED_WITHIN)
        requests = await self._objects.entries(self._requests)
        await self._objects.delete(*(entry.key for entry in requests if entry.modified < repeatable))
        if not self._retention:
            return 0
        oldest = now - timedelta(seconds=self._retention)
        deleted = 0
        for day in await self._days():
            if day > oldest.date().isoformat():
                break
            old = [key for key in await self._of_day(day) if time_of(key.rpartition("/")[2]) < oldest]
            await self._objects.delete(*(f"{self._events}/{key}" for key in old))
            deleted += len(old)
        return deleted

    async def run_sweeps(self, stop: asyncio.Event) -> None:
        """Sweep regularly until `stop` is set; failures are logged."""
        await run_periodically(
            self.sweep, stop, seconds=SWEEP_SECONDS, dropped="old_feedback_removed", failed="feedback_sweep_failed"
        )

    async def _first(self, event: FeedbackEvent, request_key: str) -> FeedbackEvent:
        name = f"{self._requests}/{hashlib.sha256(request_key.encode()).hexdigest()}"
        if await self._objects.create(name, orjson.dumps(to_json(event))):
            return event
        document = await self._objects.read_json(name)
        if document is None:
            # Damaged, or swept at this moment because it is a day old, and so no longer counts.
            return event
        first = from_json(document)
        if not first.same_verdict(event):
            raise InvalidRequest("This Idempotency-Key came with another verdict before; each needs a key of its own.")
        return first

    async def _days(self) -> list[str]:
        return await self._objects.folders(self._events)

    async def _of_day(self, day: str) -> list[str]:
        """Return the keys of a day's events, relative to `events/`, in order."""
        entries = await self._objects.entries(f"{self._events}/{day}")
        return [entry.key.removeprefix(f"{self._events}/") for entry in entries]

    async def _read(self, keys: Sequence[str]) -> list[FeedbackEvent]:
        found: list[FeedbackEvent] = []
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            documents = await asyncio.gather(*(self._objects.read(f"{self._events}/{key}") for key in some))
            for key, document in zip(some, documents, strict=True):
                # A missing object was removed after the listing.
                if document is not None and (event := _read_event(key, document)) is not None:
                    found.append(event)
        return found

    def _key(self, event_id: str) -> str:
        return f"{self._events}/{_place(event_id)}"


def _read_event(key: str, document: bytes) -> FeedbackEvent | None:
    """Return an event; None, logged, if it is damaged or of a later version, so that others can still be read."""
    try:
        return from_json(orjson.loads(document))
    except (InvalidRequest, orjson.JSONDecodeError) as error:
        get_logger().warning("feedback_unreadable", key=key, reason=str(error))
        return None


def _place(event_id: str) -> str:
    return f"{time_of(event_id).date().isoformat()}/{event_id}"


def _read_cursor(cursor: str) -> str:
    try:
        return _place(str(UUID(cursor)))
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidCursor("The cursor does not come from this server; start without one.") from error
