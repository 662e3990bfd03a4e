"""Prometheus' view, the same from servers and workers."""

from __future__ import annotations

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST

from image_similarity.engine.search_engine import SearchEngine
from image_similarity.jobs.base import QueueInfo

_NAMES = {"jobs": "broker"}
"""What the metric calls a part that /health knows by another name."""


def metrics_answer(engine: SearchEngine, queue: QueueInfo) -> Response:
    """Return all metrics in Prometheus' text format; a scrape asks no store anything, and so never waits for one."""
    for part, found in engine.health.findings().items():
        engine.metrics.part_up.labels(_NAMES.get(part, part)).set(found.problem is None)
    # Of a broker that does not answer nothing is known; the last figures stand.
    if queue.problem is None:
        engine.metrics.job_queue_depth.set(queue.waiting)
        engine.metrics.job_dead_letters.set(queue.dead_letters)
    return Response(engine.metrics.render(), media_type=CONTENT_TYPE_LATEST)
