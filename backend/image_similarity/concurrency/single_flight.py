"""Runs identical concurrent work once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """While the work of a key is running, all callers with that key wait for the same run."""

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[T]] = {}
        self._waiting: dict[Hashable, int] = {}

    async def run(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """Return what `work` returns, or raise what it raises, to all who wait for `key`.

        The work runs in its own task: if one waiter is cancelled, the others go on; if the last one is cancelled, the
        work is cancelled too.
        """
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.ensure_future(_as_coroutine(work))
            self._waiting[key] = 0
            task.add_done_callback(lambda _: self._done(key, task))
        self._waiting[key] += 1
        try:
            return await asyncio.shield(task)
        finally:
            if self._running.get(key) is task:
                self._waiting[key] -= 1
                if self._waiting[key] == 0 and not task.done():
                    task.cancel()
                    self._forget(key, task)

    def _forget(self, key: Hashable, task: asyncio.Task[T]) -> None:
        if self._running.get(key) is task:
            del self._running[key]
            del self._waiting[key]

    def _done(self, key: Hashable, task: asyncio.Task[T]) -> None:
        self._forget(key, task)
        if not task.cancelled():
            # Marks the error as retrieved, in case all waiters are gone; waiters that are left raise it themselves.
            task.exception()


async def _as_coroutine(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
