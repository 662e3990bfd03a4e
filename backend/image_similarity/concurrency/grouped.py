"""Batches work that costs the same for many items as for one, such as a sync of a disk."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")

LARGEST_GROUP = 64
"""Items per group; for files this bounds the number that are open at once."""

# A pool of its own: a slow disk must not delay the digests and archives of the default pool.
_THREADS = ThreadPoolExecutor(16, thread_name_prefix="group")


class Grouped(Generic[T]):
    """Processes the items of many callers together; items that arrive during a run form the next group."""

    def __init__(self, work: Callable[[Sequence[T]], Sequence[Exception | None]]) -> None:
        """`work` blocks, and returns one entry per item of the group: its error, or None."""
        self._work = work
        self._lock = threading.Lock()
        self._waiting: deque[tuple[T, Future[None]]] = deque()
        self._busy = False

    async def do(self, item: T) -> None:
        """Wait for the group that holds the item; it begins after this call. Raises the item's error."""
        done: Future[None] = Future()
        with self._lock:
            self._waiting.append((item, done))
            begins, self._busy = not self._busy, True
        if begins:
            _THREADS.submit(self._run)
        await asyncio.wrap_future(done)

    def _run(self) -> None:
        while group := self._next():
            try:
                outcomes = self._work([item for item, _ in group])
            # Any error: the callers must not wait for ever.
            except Exception as error:
                outcomes = [error] * len(group)
            for (_, done), outcome in zip(group, outcomes, strict=True):
                if outcome is None:
                    done.set_result(None)
                else:
                    done.set_exception(outcome)

    def _next(self) -> list[tuple[T, Future[None]]]:
        """Return the next group, without cancelled callers. If it is empty, the next caller starts a new run."""
        group: list[tuple[T, Future[None]]] = []
        with self._lock:
            while self._waiting and len(group) < LARGEST_GROUP:
                item, done = self._waiting.popleft()
                if done.set_running_or_notify_cancel():
                    group.append((item, done))
            self._busy = bool(group)
        return group
