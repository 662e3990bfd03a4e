"""Greedy dynamic batching: whoever waits when the model is free is encoded together."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic

import numpy as np

from image_similarity.domain import Embedding, EncodingFailed, Overloaded, Pixels
from image_similarity.encoders.base import Encoder
from image_similarity.telemetry.metrics import Metrics


@dataclass(eq=False, slots=True)
class _Job:
    pixels: Pixels
    future: asyncio.Future[Embedding]


class BatchingEncoder:
    """A queue before an encoder, and one thread that takes from it.

    The thread takes all that waits, up to `batch_size`, the moment the model is free: a lone request is not
    delayed, and a crowd fills the batches by itself. Whoever wants an image encoded first takes a place, so that
    a crowd is turned away before its images are decoded. One event loop at a time uses it.
    """

    def __init__(self, encoder: Encoder, *, batch_size: int, max_queue: int, metrics: Metrics) -> None:
        self._encoder = encoder
        self._batch_size = batch_size
        self._max_queue = max_queue
        self._metrics = metrics
        self._taken = 0
        self._rate = 0.0
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="encoder", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """How many images have a place: being decoded, waiting, or in the model."""
        return self._taken

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the `max_queue` places; call it from the event loop. Raises Overloaded when all are taken."""
        if self._taken >= self._max_queue:
            self._metrics.shed.inc()
            raise Overloaded(
                f"{self._taken} images are waiting for the model, which is the limit; try again in a moment.",
                retry_after=self._taken / self._rate if self._rate else 1.0,
            )
        self._taken += 1
        self._metrics.queue_depth.set(self._taken)
        try:
            yield
        finally:
            self._taken -= 1
            self._metrics.queue_depth.set(self._taken)

    async def encode(self, pixels: Pixels) -> Embedding:
        """Encode one preprocessed image, shape (input_size, input_size, 3), into a unit vector, (dimension,).

        A caller that is cancelled leaves the queue. Raises EncodingFailed, and Overloaded after `close`.
        """
        job = _Job(pixels, asyncio.get_running_loop().create_future())
        with self._changed:
            if self._closed:
                raise Overloaded("The service is shutting down.", retry_after=1.0)
            self._jobs.append(job)
            self._changed.notify()
        try:
            return await job.future
        except asyncio.CancelledError:
            with self._changed, suppress(ValueError):
                self._jobs.remove(job)
            raise

    def close(self) -> None:
        """Finish what is in the queue, then stop the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            started = monotonic()
            try:
                with self._metrics.stage("encode"):
                    outcomes: Sequence[Embedding | EncodingFailed] = list(self._encode(batch))
            # The thread must outlive whatever a model throws (out of memory, a lost device).
            except Exception as error:
                outcomes = self._one_by_one(batch, _as_ours(error))
            _deliver(batch, outcomes)
            self._metrics.batch_size.observe(len(batch))
            self._rate = len(batch) / max(1e-6, monotonic() - started)

    def _next_batch(self) -> list[_Job]:
        """Wait for work and take it; an empty list means the end."""
        batch: list[_Job] = []
        with self._changed:
            while not batch:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if not self._jobs:
                    return []
                while self._jobs and len(batch) < self._batch_size:
                    batch.append(self._jobs.popleft())
        return batch

    def _encode(self, batch: list[_Job]) -> Embedding:
        vectors = self._encoder.encode_images(np.stack([job.pixels for job in batch]))
        # The one gate to the store, whatever the model: a vector that is not finite would be found by no search.
        if len(vectors) != len(batch) or not np.isfinite(vectors).all():
            raise EncodingFailed("The model did not return one finite vector for each image.")
        return vectors

    def _one_by_one(self, batch: list[_Job], error: EncodingFailed) -> list[Embedding | EncodingFailed]:
        if len(batch) == 1:
            return [error]
        # One bad image must not cost its neighbours theirs: each is tried on its own.
        outcomes: list[Embedding | EncodingFailed] = []
        for job in batch:
            try:
                outcomes.append(self._encode([job])[0])
            except Exception as alone:
                outcomes.append(_as_ours(alone))
        return outcomes


def _deliver(batch: list[_Job], outcomes: Sequence[Embedding | EncodingFailed]) -> None:
    """Hand a batch's outcomes to the event loop with one wake-up; one an image costs the loop 2 % of its time."""

    def settle() -> None:
        for job, outcome in zip(batch, outcomes, strict=True):
            if job.future.done():  # its caller was cancelled meanwhile
                continue
            if isinstance(outcome, EncodingFailed):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)

    # A loop that is closed has nobody left who waits.
    with suppress(RuntimeError):
        batch[0].future.get_loop().call_soon_threadsafe(settle)


def _as_ours(error: Exception) -> EncodingFailed:
    if isinstance(error, EncodingFailed):
        return error
    failure = EncodingFailed(f"The model failed: {error}")
    failure.__cause__ = error
    return failure
