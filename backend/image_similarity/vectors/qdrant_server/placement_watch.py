"""Caches the state of a placement for frequent readers of metrics, so that the cluster is asked rarely."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.telemetry.logging import get_logger
from image_similarity.vectors.placement import Placement, PlacementSummary

FRESH_SECONDS = 15.0
"""Minimum seconds between two requests to the cluster, because every node takes part in the answer."""


class PlacementWatch:
    """Keeps the last reading of a placement, and renews it in the background when it is old."""

    def __init__(self, read: Callable[[int], Awaitable[Placement]], *, fresh: float = FRESH_SECONDS) -> None:
        """`read` is called with the number of wanted copies; `fresh` is in seconds."""
        self._read = read
        self._fresh = fresh
        self._looked = float("-inf")
        self._known = False
        self._task: asyncio.Task[None] | None = None
        self._summary: PlacementSummary | None = None
        self._problem: str | None = None

    async def summary(self, wanted: int) -> PlacementSummary | None:
        """Return the last reading, or None if the cluster did not answer; waits only for the very first reading."""
        if self._task is None and monotonic() - self._looked > self._fresh:
            self._looked = monotonic()
            self._task = asyncio.create_task(self._look(wanted))
        if self._task is not None and not self._known:
            # shield: a cancelled caller must not end the reading for the others.
            await asyncio.shield(self._task)
        return self._summary

    async def close(self) -> None:
        """Stop reading; closing twice is harmless."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _look(self, wanted: int) -> None:
        summary, problem = None, None
        try:
            summary = (await self._read(wanted)).summary()
        except StoreUnavailable as error:
            problem = str(error)
        except Exception as error:
            # Metrics must not fail because of this error, but the operator must see it in the log.
            get_logger().error("placement_unknown", exc_info=error)
        finally:
            if problem is not None and problem != self._problem:
                get_logger().warning("placement_unknown", reason=problem)
            self._summary, self._problem, self._known, self._task = summary, problem, True, None
