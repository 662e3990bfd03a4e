"""The start of the next page in a newest-first listing, as an opaque string."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from image_similarity.domain.errors import InvalidCursor
from image_similarity.domain.records import ImageRecord, Page
from image_similarity.vectors.base import point_id


@dataclass(frozen=True, slots=True)
class Cursor:
    """All images newer than `before` have been listed, and of those indexed exactly at `before`, the points `seen`.

    Two processes may index in the same microsecond; a cursor with only the time would skip or repeat such images.
    """

    before: datetime
    seen: tuple[str, ...]

    def encode(self) -> str:
        """Return it as URL-safe text."""
        body = orjson.dumps([self.before.isoformat(), list(self.seen)])
        return base64.urlsafe_b64encode(body).rstrip(b"=").decode()

    @staticmethod
    def decode(text: str) -> Cursor:
        """Read what `encode` wrote. Raises InvalidCursor for anything else."""
        try:
            padded = text + "=" * (-len(text) % 4)
            before, seen = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            moment = datetime.fromisoformat(before).astimezone(UTC)
            return Cursor(moment, tuple(str(uuid.UUID(point)) for point in seen))
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise InvalidCursor("The cursor is not one that this server handed out; start without one.") from error

    @staticmethod
    def after(records: Sequence[ImageRecord], previous: Cursor | None) -> Cursor:
        """Return the cursor after a page; `records` is not empty, `previous` is the cursor that led to the page."""
        before = records[-1].indexed_at
        seen = [point_id(record.image_id) for record in records if record.indexed_at == before]
        if previous is not None and previous.before == before:
            seen += previous.seen
        return Cursor(before, tuple(seen))


def page_of(records: Sequence[ImageRecord], limit: int, start: Cursor | None) -> Page:
    """Return the page that begins at `start`, of the `limit + 1` records, or fewer, that a store found there."""
    if len(records) <= limit:
        return Page(tuple(records), next_cursor=None)
    shown = tuple(records[:limit])
    return Page(shown, next_cursor=Cursor.after(shown, start).encode())
