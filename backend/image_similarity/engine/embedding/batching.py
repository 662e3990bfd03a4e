"""Greedy dynamic batching: all items that wait when the model becomes free are encoded together."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

import numpy as np

from image_similarity.domain.errors import EncodingFailed, ImageSimilarityError, Overloaded
from image_similarity.domain.records import Embedding, Pixels
from image_similarity.encoders.base import EncodedText, ImageEncoder, TextEncoder
from image_similarity.telemetry.metrics import Metrics, QueueMetrics

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@dataclass(eq=False, slots=True)
class _Job(Generic[Item, Outcome]):
    item: Item
    future: asyncio.Future[Outcome]


class DynamicBatcher(Generic[Item, Outcome]):
    """A queue for a model, and one thread that processes it.

    When the model becomes free, the thread takes all waiting items, up to `batch_size`: a single request is not
    delayed, and many requests fill the batches. A caller must take a place first, so that under overload requests are
    refused before their images are decoded. Only one event loop at a time may use it.
    """

    def __init__(
        self,
        encode: Callable[[list[Item]], Sequence[Outcome]],
        *,
        batch_size: int,
        max_queue: int,
        metrics: QueueMetrics,
    ) -> None:
        self._encode = encode
        self._batch_size = batch_size
        self._max_queue = max_queue
        self._metrics = metrics
        self._taken = 0
        self._rate = 0.0
        self._jobs: deque[_Job[Item, Outcome]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="encoder", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """How many places are taken: by images being decoded, and by items that wait for the model or are in it."""
        return self._taken

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the `max_queue` places; call it from the event loop. Raises Overloaded if all are taken."""
        if self._taken >= self._max_queue:
            self._metrics.shed.inc()
            raise Overloaded(
                f"{self._taken} {self._metrics.items} are waiting for the model, which is the limit; "
                "try again in a moment.",
                retry_after=self._taken / self._rate if self._rate else 1.0,
            )
        self._taken += 1
        self._metrics.depth.set(self._taken)
        try:
            yield
        finally:
            self._taken -= 1
            self._metrics.depth.set(self._taken)

    async def encode(self, item: Item) -> Outcome:
        """Return the model's output for one item.

        If the caller is cancelled, its item leaves the queue. Raises EncodingFailed, any other ImageSimilarityError of
        the model, and Overloaded after `close`.
        """
        job = _Job[Item, Outcome](item, asyncio.get_running_loop().create_future())
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
        """Finish the queue, then stop the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            started = monotonic()
            try:
                with self._metrics.stage():
                    outcomes: Sequence[Outcome | ImageSimilarityError] = self._outcomes(batch)
            # The thread must survive any error of a model, such as out of memory or a lost device.
            except Exception as error:
                outcomes = self._one_by_one(batch, _as_ours(error))
            self._metrics.batch_size.observe(len(batch))
            _deliver(batch, outcomes)
            self._rate = len(batch) / max(1e-6, monotonic() - started)

    def _next_batch(self) -> list[_Job[Item, Outcome]]:
        """Wait for items and take them; an empty list means that the queue is closed."""
        batch: list[_Job[Item, Outcome]] = []
        with self._changed:
            while not batch:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if not self._jobs:
                    return []
                while self._jobs and len(batch) < self._batch_size:
                    batch.append(self._jobs.popleft())
        return batch

    def _outcomes(self, batch: list[_Job[Item, Outcome]]) -> list[Outcome]:
        outcomes = list(self._encode([job.item for job in batch]))
        if len(outcomes) != len(batch):
            raise EncodingFailed(f"The model answered for {len(outcomes)} of {len(batch)} {self._metrics.items}.")
        return outcomes

    def _one_by_one(
        self, batch: list[_Job[Item, Outcome]], error: ImageSimilarityError
    ) -> list[Outcome | ImageSimilarityError]:
        if len(batch) == 1:
            return [error]
        # Encode the items one by one, so that a bad one does not spoil the others.
        outcomes: list[Outcome | ImageSimilarityError] = []
        for job in batch:
            try:
                outcomes += self._outcomes([job])
            except Exception as alone:
                outcomes.append(_as_ours(alone))
        return outcomes


def batch_images(
    encoder: ImageEncoder, *, batch_size: int, max_queue: int, metrics: Metrics
) -> DynamicBatcher[Pixels, Embedding]:
    """Return the queue of an image tower: pixels, shape (input_size, input_size, 3), to unit vectors, (dimension,)."""

    def encode(images: list[Pixels]) -> list[Embedding]:
        vectors = encoder.encode_images(np.stack(images))
        # All vectors pass this check before the store; no search would find a vector that is not finite.
        if not np.isfinite(vectors).all():
            raise EncodingFailed("The model did not return a finite vector for each image.")
        return [*vectors]

    return DynamicBatcher(encode, batch_size=batch_size, max_queue=max_queue, metrics=metrics.image_queue)


def batch_texts(
    encoder: TextEncoder, *, batch_size: int, max_queue: int, metrics: Metrics
) -> DynamicBatcher[str, EncodedText]:
    """Return the queue of a text tower, whose weights are read from memory once per batch of texts."""

    def encode(texts: list[str]) -> list[EncodedText]:
        encoded = encoder.encode_texts(texts)
        if not all(np.isfinite(text.embedding).all() for text in encoded):
            raise EncodingFailed("The model did not return a finite vector for each text.")
        return encoded

    return DynamicBatcher(encode, batch_size=batch_size, max_queue=max_queue, metrics=metrics.text_queue)


def _deliver(batch: list[_Job[Item, Outcome]], outcomes: Sequence[Outcome | ImageSimilarityError]) -> None:
    """Pass a batch's outcomes to the event loop with one wake-up; one per image would cost the loop 2 % of its time."""

    def settle() -> None:
        for job, outcome in zip(batch, outcomes, strict=True):
            if job.future.done():  # its caller was cancelled meanwhile
                continue
            if isinstance(outcome, ImageSimilarityError):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)

    # If the loop is closed, no caller waits any more.
    with suppress(RuntimeError):
        batch[0].future.get_loop().call_soon_threadsafe(settle)


def _as_ours(error: Exception) -> ImageSimilarityError:
    if isinstance(error, ImageSimilarityError):
        return error
    failure = EncodingFailed(f"The model failed: {error}")
    failure.__cause__ = error
    return failure
