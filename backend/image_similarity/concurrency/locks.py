"""Locks by name, answers that are reused for some seconds, and writes that cancellation cannot interrupt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")


class KeyedLocks:
    """One lock per name; it exists while a task holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, name: str) -> asyncio.Lock:
        """Return the lock of a name."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock


class Recent(Generic[T]):
    """Caches the result of `ask` for `seconds`; concurrent callers share one call."""

    def __init__(self, ask: Callable[[], Awaitable[T]], *, seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._asking = asyncio.Lock()
        self._answer: tuple[T, float] | None = None

    async def get(self) -> T:
        """Return the result. Raises what `ask` raises."""
        async with self._asking:
            if self._answer is None or monotonic() - self._answer[1] > self._seconds:
                self._answer = await self._ask(), monotonic()
            return self._answer[0]


async def uncancellable(work: Coroutine[Any, Any, T]) -> T:
    """Await a write to its end; a cancelled caller gets its CancelledError only then.

    The stores finish a write even if nobody waits for it. The steps that must follow (invalidate cached results,
    delete unused bytes, release locks) would be skipped otherwise.
    """
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is None:
        return task.result()
    # Marks the error as retrieved: the caller was cancelled and cannot receive it.
    task.exception()
    raise cancellation
