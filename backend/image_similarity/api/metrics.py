"""Prometheus' view, the same from servers and workers."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST

from image_similarity.domain import StoreUnavailable
from image_similarity.engine import SearchEngine
from image_similarity.jobs.base import QueueInfo


async def metrics_answer(engine: SearchEngine, queue: QueueInfo) -> Response:
    """Return all metrics in Prometheus' text format."""
    # Both wait for a store that hangs, so side by side.
    failures, _ = await asyncio.gather(engine.failures(), _count_images(engine))
    for part in engine.PARTS:
        engine.metrics.part_up.labels(part).set(part not in failures)
    engine.metrics.part_up.labels("broker").set(queue.problem is None)
    # Of a broker that does not answer nothing is known; the last figures stand.
    if queue.problem is None:
        engine.metrics.job_queue_depth.set(queue.waiting)
        engine.metrics.job_dead_letters.set(queue.dead_letters)
    return Response(engine.metrics.render(), media_type=CONTENT_TYPE_LATEST)


async def _count_images(engine: SearchEngine) -> None:
    # A store that does not answer is told of by another metric; the rest must not be lost with it.
    with suppress(StoreUnavailable):
        await engine.stats()
