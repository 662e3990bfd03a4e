"""The one Celery task: a chunk of a job."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from celery import Celery, Task
from celery.exceptions import Reject

from image_similarity.concurrency.backoff import pause_before
from image_similarity.domain.errors import ImageSimilarityError
from image_similarity.jobs.celery_app import DEAD, TASK
from image_similarity.jobs.chunks import TRIES
from image_similarity.telemetry.logging import get_logger
from image_similarity.telemetry.tracing import Tracing

MAX_BACKOFF_SECONDS = 300
"""Seconds between two tries while the store or the storage is away."""

_FAILED = "image_similarity_tries"
"""Header of a retried chunk: the number of failed tries while store and storage answered."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A chunk that was delivered to a worker."""

    job_id: str
    chunk: int
    attempt: int
    """How often it was delivered again because a process died during it."""
    give_up: bool
    last: bool
    """Whether this is the last try; see `ChunkProcessor.process`."""


Work = Callable[[Delivery], None]
"""Blocks; raises ImageSimilarityError if the chunk should be tried again later."""


def register(app: Celery, work: Work, is_away: Callable[[], bool], tracing: Tracing | None = None) -> None:
    """Add the task to an application: it calls `work`, and tries again later after an ImageSimilarityError.

    `is_away` blocks, and returns whether store or storage do not answer; failed tries at such times are not counted.
    """

    def trace(request: Any) -> AbstractContextManager[object]:
        if tracing is None:
            return nullcontext()
        return tracing.begin(TASK, "consumer", {"traceparent": request.get("traceparent") or ""})

    def index_chunk(self: Task, job_id: str, chunk: int, *, give_up: bool = False) -> None:
        request: Any = self.request
        give_up = give_up or (request.delivery_info or {}).get("exchange") == DEAD
        failed = int(request.get(_FAILED) or 0)
        # RabbitMQ's count of deliveries that were never acknowledged.
        attempt = int(request.get("x-delivery-count") or 0)
        try:
            with trace(request):
                work(Delivery(job_id, chunk, attempt, give_up, last=failed == TRIES - 1))
        except ImageSimilarityError as error:
            failed += not is_away()
            if failed >= TRIES and not give_up:
                get_logger().error("chunk_rejected", job_id=job_id, chunk=chunk, tries=failed, reason=str(error))
                raise Reject(error, requeue=False) from error
            pause = int(pause_before(request.retries, first=1, most=MAX_BACKOFF_SECONDS))
            get_logger().warning("chunk_postponed", job_id=job_id, chunk=chunk, seconds=pause, reason=str(error))
            # With jitter, so that the chunks do not all come back at the same moment.
            countdown = pause + random.randint(0, pause)  # noqa: S311
            headers = {_FAILED: failed, "traceparent": request.get("traceparent") or ""}
            raise self.retry(kwargs={"give_up": give_up}, countdown=countdown, headers=headers) from error

    app.task(index_chunk, name=TASK, bind=True, max_retries=None, shared=False)
