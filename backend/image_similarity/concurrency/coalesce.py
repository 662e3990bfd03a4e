"""A few runs of the same work serve many callers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class CoalescedTask:
    """Runs the work once at a time. Each caller gets a run that begins after the call, shared with other callers.

    The work must not raise.
    """

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._running: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[None] | None = None

    def next(self) -> asyncio.Task[None]:
        """Return a run that has not begun. Wait by `asyncio.wait`, which never cancels it."""
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._run_after(self._running))
        return self._waiting

    def cancel(self) -> list[asyncio.Task[None]]:
        """Cancel the running and the waiting task, and return them so that the caller can wait for them."""
        tasks = [task for task in (self._waiting, self._running) if task is not None]
        for task in tasks:
            task.cancel()
        return tasks

    async def _run_after(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        # The run has begun: later callers need another one.
        self._running, self._waiting = self._waiting, None
        await self._work()
