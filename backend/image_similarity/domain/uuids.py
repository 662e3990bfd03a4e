"""The time in a UUIDv7, which is what events and jobs are called by."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID


def time_of(uuid: str) -> datetime:
    """Return when a UUIDv7 was made, UTC, to the millisecond. Raises ValueError for a text that is no UUID."""
    return datetime.fromtimestamp((UUID(uuid).int >> 80) / 1000, UTC)
