"""Metrics for Prometheus; servers and workers answer the same."""

from __future__ import annotations

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST

from image_similarity.engine.search_engine import SearchEngine
from image_similarity.jobs.base import QueueInfo

_NAMES = {"jobs": "broker"}
"""The label of a part in the metric, if /health has another name for it."""


def metrics_answer(engine: SearchEngine, queue: QueueInfo) -> Response:
    """Return all metrics in Prometheus' text format. A scrape never waits for a store, because it queries none."""
    for part, found in engine.health.findings().items():
        engine.metrics.part_up.labels(_NAMES.get(part, part)).set(found.problem is None)
    # If the broker does not answer, the last figures remain.
    if queue.problem is None:
        engine.metrics.job_queue_depth.set(queue.waiting)
        engine.metrics.job_dead_letters.set(queue.dead_letters)
    return Response(engine.metrics.render(), media_type=CONTENT_TYPE_LATEST)
