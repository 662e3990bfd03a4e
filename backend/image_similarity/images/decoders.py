"""Decodes a bounded number of image files at once, with a time limit, in threads or in processes that can be killed."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Any, Literal

from image_similarity.domain.errors import (
    DecodeOutOfMemory,
    DecodeTimeout,
    ImageSimilarityError,
    ImageUndecodable,
    InvalidRequest,
    Overloaded,
)
from image_similarity.images.clock import Clock
from image_similarity.images.memory import UNCOUNTED, Grant, MemoryBudget
from image_similarity.images.process import DecoderDied, DecoderProcess
from image_similarity.images.recipe import Prepared, Preprocess, Recipe, prepare
from image_similarity.telemetry.logging import get_logger
from image_similarity.telemetry.metrics import Metrics

Isolation = Literal["process", "thread"]

MORE_PATIENCE = 5.0
"""Seconds, beyond an image's time limit, to wait for a decoder, so that an image behind a slow one gets its turn."""

_REGION = 32 << 20
"""Bytes of shared memory of a decoding process, for an image or its results; a larger image gets a larger one."""
_MAX_BACKOFF_SECONDS = 30.0
_ATTEMPTS = 3
_WHY = {
    "memory": "took more memory than there was",
    "cpu": "took more of the processor than allowed",
    "signal": "crashed the decoder",
}


class Decoders:
    """A fixed number of decoders, each for one image at a time; one event loop at a time uses `run`.

    A thread cannot be killed: it is free only when it has finished, even after the time limit. A process that takes
    too long is killed and replaced.
    """

    def __init__(
        self,
        preprocess: Sequence[Preprocess],
        metrics: Metrics,
        *,
        isolation: Isolation,
        count: int,
        timeout: float,
        memory: int,
    ) -> None:
        """`preprocess` is all functions that recipes may use; `timeout` seconds per image, `memory` bytes for all.

        Raises InvalidRequest for `isolation="process"` on another system than Linux.
        """
        if isolation == "process" and sys.platform != "linux":
            raise InvalidRequest("DECODE_ISOLATION=process needs Linux; set DECODE_ISOLATION=thread.")
        self._preprocess = tuple(preprocess)
        self._metrics = metrics
        self._count = count
        self._timeout = timeout
        self._memory = memory
        self._budget = MemoryBudget(memory)
        self._free = asyncio.Semaphore(count)
        # One thread more, which starts processes.
        self._threads = ThreadPoolExecutor(count + 1, thread_name_prefix="decode")
        self._processes = _Processes(self._preprocess, metrics, memory) if isolation == "process" else None
        self._overdue = 0
        self._warming = None if self._processes is None else self._threads.submit(self._processes.warm)

    @property
    def overdue(self) -> int:
        """Number of decoders busy with an image whose time is over."""
        return self._overdue

    def failure(self) -> str | None:
        """Return why no image can be decoded now; None if decoders work."""
        if self._overdue >= self._count:
            return f"All {self._count} decoders are at images that take longer than {self._timeout:g} s."
        if self._processes is None or (failure := self._processes.failure) is None:
            return None
        if self._processes.may_start and (self._warming is None or self._warming.done()):
            # A balancer sends no images here while this fails, so the health check starts the next attempt.
            self._warming = self._threads.submit(self._processes.warm)
        return failure

    async def run(self, data: bytes, recipe: Recipe) -> Prepared:
        """Return what the recipe makes of an image file.

        Raises ImageUndecodable, ImageTooLarge, UnsupportedFormat, DecodeTimeout; Overloaded if no decoder, or too
        little memory, becomes free in time.
        """
        patience = self._timeout + MORE_PATIENCE
        try:
            async with asyncio.timeout(patience):
                await self._free.acquire()
        except TimeoutError:
            raise Overloaded(
                f"All {self._count} decoders have been busy for {patience:g} s; try again in a moment.",
                retry_after=self._timeout,
            ) from None
        clock = Clock(self._timeout)
        try:
            call = asyncio.get_running_loop().run_in_executor(self._threads, self._work, data, recipe, clock)
        except RuntimeError as error:
            self._free.release()
            raise Overloaded("The service is shutting down.", retry_after=1.0) from error
        # Release the place when the decoder is free, not when the caller gives up.
        call.add_done_callback(self._release)
        return await self._in_time(call, clock)

    def prepare(self, data: bytes, recipe: Recipe) -> Prepared:
        """As `run`, but in the calling thread, which must outlive this object; waits for memory, not for a decoder."""
        return self._work(data, recipe, Clock(self._timeout))

    def close(self) -> None:
        """Stop. Processes are killed with their images; threads finish theirs in the background."""
        if self._processes is not None:
            self._processes.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _work(self, data: bytes, recipe: Recipe, clock: Clock) -> Prepared:
        taken = 0

        def grant(wants: int) -> None:
            nonlocal taken
            if wants > UNCOUNTED:
                with clock.stopped():
                    self._budget.take(wants, patience=self._timeout + MORE_PATIENCE)
                taken += wants

        clock.start()
        try:
            with self._metrics.stage("decode"):
                if self._processes is None:
                    return prepare(data, recipe, grant)
                return self._processes.prepare(data, recipe, grant, clock)
        finally:
            self._budget.give_back(taken)

    async def _in_time(self, call: asyncio.Future[Prepared], clock: Clock) -> Prepared:
        # Processes are killed when their time is over; this limit is for threads, and for anything else that hangs.
        more = 0.0 if self._processes is None else MORE_PATIENCE
        while not call.done():
            left = clock.left() + more
            if left <= 0:
                self._overdue += 1
                call.add_done_callback(self._no_longer_overdue)
                raise DecodeTimeout(clock.complaint())
            await asyncio.wait({call}, timeout=left)
        if call.cancelled():
            raise Overloaded("The service is shutting down.", retry_after=1.0)
        return call.result()

    def _no_longer_overdue(self, _: asyncio.Future[Prepared]) -> None:
        self._overdue -= 1

    def _release(self, call: asyncio.Future[Any]) -> None:
        self._free.release()
        # Marks the error as retrieved: its caller may be gone.
        if not call.cancelled():
            call.exception()


class _NotSeen(Exception):
    """The process died before it read the image."""


class _Processes:
    """A stack of idle processes, the last used on top, so that no more are started than are needed."""

    def __init__(self, preprocess: tuple[Preprocess, ...], metrics: Metrics, memory: int) -> None:
        self._preprocess = preprocess
        self._metrics = metrics
        self._memory = memory
        self._lock = threading.Lock()
        self._idle: list[DecoderProcess] = []
        self._busy: set[DecoderProcess] = set()
        self._closed = False
        self.failure: str | None = None
        """Why no process can be started; None if the last start succeeded."""
        self._failures = 0
        self._not_before = 0.0

    @property
    def may_start(self) -> bool:
        """Whether the pause after a failure is over."""
        return monotonic() >= self._not_before

    def warm(self) -> None:
        """Start a process unless one is idle; logs ImageSimilarityError instead of raising it."""
        try:
            self._put(self._get(_REGION))
        except ImageSimilarityError as error:
            if not self._closed:
                get_logger().warning("decoder_not_started", reason=str(error))

    def prepare(self, data: bytes, recipe: Recipe, grant: Grant, clock: Clock) -> Prepared:
        """Prepare an image in one of the processes; raises as `Decoders.run`."""
        for _ in range(_ATTEMPTS):
            with suppress(_NotSeen):
                return self._prepare(data, recipe, grant, clock)
        raise Overloaded("Decoding processes die before they begin; try again in a moment.", retry_after=1.0)

    def _prepare(self, data: bytes, recipe: Recipe, grant: Grant, clock: Clock) -> Prepared:
        process = self._get(max(_REGION, len(data) + 1))
        # Start the clock only now: the start of a process does not count.
        clock.start()
        try:
            return process.prepare(data, recipe, grant, clock)
        except DecoderDied as died:
            if self._closed:
                raise Overloaded("The service is shutting down.", retry_after=1.0) from died
            self._count(died.reason)
            if died.reason == "idle":
                raise _NotSeen from died
            why = _WHY.get(died.reason, "ended the decoder")
            raise ImageUndecodable(
                f"Decoding the image {why}; it is damaged or made to do harm. Save it anew and send that."
            ) from died
        except (DecodeTimeout, DecodeOutOfMemory) as error:
            self._count("timeout" if isinstance(error, DecodeTimeout) else "memory")
            raise
        finally:
            self._put(process)

    def close(self) -> None:
        """Kill all of them."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = list(self._busy)
        for process in idle:
            process.close()
        for process in busy:
            process.kill()

    def _get(self, region: int) -> DecoderProcess:
        """Return a process with at least `region` bytes of shared memory. Raises Overloaded if none can be started."""
        with self._lock:
            process = self._idle.pop() if self._idle else None
        if process is None or process.region < region or not process.alive:
            if process is not None:
                process.close()
            process = self._start(region)
        with self._lock:
            if not self._closed:
                self._busy.add(process)
                return process
        # `close` was called while the process started.
        process.close()
        raise Overloaded("The service is shutting down.", retry_after=1.0)

    def _put(self, process: DecoderProcess) -> None:
        with self._lock:
            self._busy.discard(process)
            if process.alive and not self._closed:
                self._idle.append(process)
                return
        process.close()

    def _start(self, region: int) -> DecoderProcess:
        if self._closed or not self.may_start:
            raise Overloaded(
                self.failure or "The service is shutting down.", retry_after=max(1.0, self._not_before - monotonic())
            )
        try:
            process = self._start_at_last(region)
        except DecoderDied as died:
            self._failures += 1
            pause = min(_MAX_BACKOFF_SECONDS, 0.5 * 2.0**self._failures)
            self._not_before = monotonic() + pause
            self.failure = f"No decoding process can be started: {died.__cause__}. DECODE_ISOLATION=thread needs none."
            raise Overloaded(self.failure, retry_after=pause) from died
        self._failures, self.failure = 0, None
        return process

    def _start_at_last(self, region: int) -> DecoderProcess:
        try:
            return DecoderProcess(self._preprocess, memory=self._memory, region=region)
        except DecoderDied:
            # Try twice: the first failure may be a chance event.
            self._count("start")
            return DecoderProcess(self._preprocess, memory=self._memory, region=region)

    def _count(self, reason: str) -> None:
        self._metrics.decoder_deaths.labels(reason).inc()
        get_logger().warning("decoder_died", reason=reason)
