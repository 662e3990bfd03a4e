"""The state of a placement for figures that are asked for all the time, without asking the cluster each time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.telemetry.logging import get_logger
from image_similarity.vectors.placement import Placement, PlacementSummary

FRESH_SECONDS = 15.0
"""A cluster is asked at most so often; every node takes part in the answer."""


class PlacementWatch:
    """Remembers the last look at a cluster, and takes another in the background when that is old."""

    def __init__(self, read: Callable[[int], Awaitable[Placement]], *, fresh: float = FRESH_SECONDS) -> None:
        """`read` is given how many copies are wanted."""
        self._read = read
        self._fresh = fresh
        self._looked = float("-inf")
        self._known = False
        self._task: asyncio.Task[None] | None = None
        self._summary: PlacementSummary | None = None
        self._problem: str | None = None

    async def summary(self, wanted: int) -> PlacementSummary | None:
        """Return what was seen last, or None where the cluster has not told; waits for the very first look only."""
        if self._task is None and monotonic() - self._looked > self._fresh:
            self._looked = monotonic()
            self._task = asyncio.create_task(self._look(wanted))
        if self._task is not None and not self._known:
            # A caller that goes away does not end it for the others.
            await asyncio.shield(self._task)
        return self._summary

    async def close(self) -> None:
        """Stop looking; closing twice is harmless."""
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
            # Whoever asked for a figure must not fail of it, and whoever reads the log must hear of it.
            get_logger().error("placement_unknown", exc_info=error)
        finally:
            if problem is not None and problem != self._problem:
                get_logger().warning("placement_unknown", reason=problem)
            self._summary, self._problem, self._known, self._task = summary, problem, True, None
