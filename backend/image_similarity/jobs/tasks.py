"""The one Celery task: a chunk of a job."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from celery import Celery, Task

from image_similarity.domain import ImageSimilarityError
from image_similarity.jobs.celery_app import DEAD, TASK
from image_similarity.telemetry.logging import get_logger
from image_similarity.telemetry.tracing import Tracing

LONGEST_PAUSE = 300
"""Seconds between two tries while the store or the storage is away."""

Work = Callable[[str, int, int, bool], None]
"""Takes a job's id, a chunk, how often the chunk came back unfinished, and whether to give it up; blocks."""


def register(app: Celery, work: Work, tracing: Tracing | None = None) -> None:
    """Add the task to an application; it does `work`, and tries again later where that says it is worth it."""

    def trace(request: Any) -> AbstractContextManager[object]:
        if tracing is None:
            return nullcontext()
        return tracing.begin(TASK, "consumer", {"traceparent": request.get("traceparent") or ""})

    def index_chunk(self: Task, job_id: str, chunk: int, *, give_up: bool = False) -> None:
        request: Any = self.request
        give_up = give_up or (request.delivery_info or {}).get("exchange") == DEAD
        # RabbitMQ's count of deliveries that were never acknowledged.
        attempt = int(request.get("x-delivery-count") or 0)
        try:
            with trace(request):
                work(job_id, chunk, attempt, give_up)
        except ImageSimilarityError as error:
            pause = min(LONGEST_PAUSE, 2 ** min(request.retries, 10))
            get_logger().warning("chunk_postponed", job_id=job_id, chunk=chunk, seconds=pause, reason=str(error))
            # Jittered, so that all chunks do not come back in the same moment.
            countdown = pause + random.randint(0, pause)  # noqa: S311
            raise self.retry(kwargs={"give_up": give_up}, countdown=countdown) from error

    app.task(index_chunk, name=TASK, bind=True, max_retries=None, shared=False)
