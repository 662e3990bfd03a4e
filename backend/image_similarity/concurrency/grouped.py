"""What costs the same for many as for one (a sync of a disk), done once for all who ask meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")

LARGEST_GROUP = 64
"""Items that are dealt with together; each of a group of files has one open meanwhile."""

# Of their own: a slow disk must not keep digests and archives waiting.
_THREADS = ThreadPoolExecutor(16, thread_name_prefix="group")


class Grouped(Generic[T]):
    """Does for many callers at once what each asks for: those who come while a group is worked on are the next."""

    def __init__(self, work: Callable[[Sequence[T]], Sequence[Exception | None]]) -> None:
        """`work` blocks, and returns for each item of a group what went wrong with it, or None."""
        self._work = work
        self._lock = threading.Lock()
        self._waiting: deque[tuple[T, Future[None]]] = deque()
        self._busy = False

    async def do(self, item: T) -> None:
        """Wait for the group that has the item, which begins after this call. Raises what went wrong with it."""
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
            # Of whatever kind: they wait for it.
            except Exception as error:
                outcomes = [error] * len(group)
            for (_, done), outcome in zip(group, outcomes, strict=True):
                if outcome is None:
                    done.set_result(None)
                else:
                    done.set_exception(outcome)

    def _next(self) -> list[tuple[T, Future[None]]]:
        """Return the next group, without callers that gave up; if it is empty, the next caller begins anew."""
        group: list[tuple[T, Future[None]]] = []
        with self._lock:
            while self._waiting and len(group) < LARGEST_GROUP:
                item, done = self._waiting.popleft()
                if done.set_running_or_notify_cancel():
                    group.append((item, done))
            self._busy = bool(group)
        return group
