"""The one Celery task: a chunk of a job."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from celery import Celery, Task
from celery.exceptions import Reject

from image_similarity.domain.errors import ImageSimilarityError
from image_similarity.jobs.celery_app import DEAD, TASK
from image_similarity.jobs.chunks import TRIES
from image_similarity.telemetry.logging import get_logger
from image_similarity.telemetry.tracing import Tracing

MAX_BACKOFF_SECONDS = 300
"""Seconds between two tries while the store or the storage is away."""

_FAILED = "image_similarity_tries"
"""Header of a chunk that comes again: how many tries of it neither store nor storage were to blame for."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A chunk as a worker gets it."""

    job_id: str
    chunk: int
    attempt: int
    """How often it came back because a process died over it."""
    give_up: bool
    last: bool
    """Whether it is tried no more after this; see `ChunkProcessor.process`."""


Work = Callable[[Delivery], None]
"""Blocks; raises ImageSimilarityError if the chunk is to be tried again later."""


def register(app: Celery, work: Work, is_away: Callable[[], bool], tracing: Tracing | None = None) -> None:
    """Add the task to an application; it does `work`, and tries again later if that says it is worth it.

    `is_away` blocks, and tells whether store or storage do not answer; tries while they do not are not counted.
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
            pause = min(MAX_BACKOFF_SECONDS, 2 ** min(request.retries, 10))
            get_logger().warning("chunk_postponed", job_id=job_id, chunk=chunk, seconds=pause, reason=str(error))
            # Jittered, so that all chunks do not come back in the same moment.
            countdown = pause + random.randint(0, pause)  # noqa: S311
            headers = {_FAILED: failed, "traceparent": request.get("traceparent") or ""}
            raise self.retry(kwargs={"give_up": give_up}, countdown=countdown, headers=headers) from error

    app.task(index_chunk, name=TASK, bind=True, max_retries=None, shared=False)
