"""Many requests for the same effect are served by few runs of the work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class CoalescedTask:
    """One run of the work at a time, and whoever asks gets a run that begins afterwards, shared with others.

    The work must not raise.
    """

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._running: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[None] | None = None

    def next(self) -> asyncio.Task[None]:
        """Return a run that has not begun; wait for it with `asyncio.wait`, which leaves it to the others."""
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._run_after(self._running))
        return self._waiting

    def cancel(self) -> list[asyncio.Task[None]]:
        """Stop what is under way, and return it to be waited for."""
        tasks = [task for task in (self._waiting, self._running) if task is not None]
        for task in tasks:
            task.cancel()
        return tasks

    async def _run_after(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        # From here on it is under way: whoever asks now needs another.
        self._running, self._waiting = self._waiting, None
        await self._work()
