"""Writes that must not meet, and must not be left half done; questions that need not be asked each time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")


class KeyedLocks:
    """A lock for every name, for as long as someone holds or awaits it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, name: str) -> asyncio.Lock:
        """Return the lock of a name."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock


class Recent(Generic[T]):
    """The answer to a question, asked again once it is older than `seconds`; callers of one moment share a run."""

    def __init__(self, ask: Callable[[], Awaitable[T]], *, seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._asking = asyncio.Lock()
        self._answer: tuple[T, float] | None = None

    async def get(self) -> T:
        """Return it. Raises what asking raises."""
        async with self._asking:
            if self._answer is None or monotonic() - self._answer[1] > self._seconds:
                self._answer = await self._ask(), monotonic()
            return self._answer[0]


async def uncancellable(work: Coroutine[Any, Any, T]) -> T:
    """Await a write; a caller that is cancelled meanwhile is let go only when the write is done.

    The stores finish what was sent to them whether or not anyone waits, and what must follow (stale results, unused
    bytes, the locks) would be left undone.
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
    # Marks an error as seen: there is nobody left to tell.
    task.exception()
    raise cancellation
