"""Add, during normal operation, the data that an earlier version did not store with its images."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from image_similarity.cache.base import Cache
from image_similarity.domain.errors import StoreUnavailable
from image_similarity.telemetry.logging import get_logger
from image_similarity.vectors.base import VectorStore

_PAUSE = 30.0
"""Seconds until the next try if the store does not answer."""

_SECOND_LOOK = 900.0
"""Seconds until a second run, because replicas of the earlier version may go on writing while they are replaced."""


async def bring_up_to_date(vectors: VectorStore, cache: Cache, stop: asyncio.Event | None = None) -> int:
    """Add the missing data to every image, until done or `stop` is set; return how many images lacked it.

    Any number of processes may do so at once. Raises StoreUnavailable.
    """
    changed = 0
    while stop is None or not stop.is_set():
        step = await vectors.backfill()
        if not step:
            break
        changed += step
    if changed:
        # Searches that ran meanwhile may have missed images, so their cached results are dropped.
        await cache.advance_generation()
        get_logger().info("collection_brought_up_to_date", images=changed)
    return changed


async def run_backfill(vectors: VectorStore, cache: Cache, stop: asyncio.Event) -> None:
    """Bring the collection up to date as soon as the store answers, and once more later; never raises."""
    looks = 0
    while not stop.is_set():
        pause = _PAUSE
        try:
            await bring_up_to_date(vectors, cache, stop)
        except StoreUnavailable as error:
            get_logger().warning("collection_not_up_to_date", reason=str(error))
        except Exception as error:
            get_logger().error("collection_not_up_to_date", exc_info=error)
            return
        else:
            looks += 1
            if looks == 2:
                return
            pause = _SECOND_LOOK
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
