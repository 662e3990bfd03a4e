"""The health of the process and its parts; servers and workers answer the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from time import monotonic

from fastapi import Response

from image_similarity import __version__
from image_similarity.api.errors import ProblemError
from image_similarity.api.responses import JsonResponse
from image_similarity.api.schemas.status import HealthResponse, ServiceHealth
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.engine.stats import ModelInfo
from image_similarity.jobs.base import QueueInfo

ReadQueues = Callable[[], Awaitable[QueueInfo]]


@asynccontextmanager
async def watching(engine: SearchEngine, read_queues: ReadQueues) -> AsyncIterator[None]:
    """Check the engine's parts and the queues once, and then regularly while the block runs."""

    async def look_at_queues() -> str | None:
        return (await read_queues()).problem

    engine.health.add("jobs", look_at_queues)
    await engine.health.look()
    watch = asyncio.create_task(engine.health.run())
    try:
        yield
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch


def health_of(engine: SearchEngine) -> HealthResponse:
    """Return the last known state of the process and its parts; checks none of them."""
    services = {"model": _service(None, _describe(engine.model))}
    for part, found in engine.health.findings().items():
        services[part] = _service(found.problem, checked_seconds_ago=monotonic() - found.at)
    services["cache"] = _service(engine.cache_failure())
    own = engine.readiness.problems()
    services |= {name: _service(problem) for name, problem in own.items() if name not in services}
    well = all(service.status == "ok" for service in services.values())
    return HealthResponse(
        status="unhealthy" if own else "healthy" if well else "degraded",
        timestamp=datetime.now(UTC),
        version=__version__,
        services=services,
    )


def ready_answer(engine: SearchEngine) -> Response:
    """Return the answer that requests may be sent here. Raises ProblemError (503) if they may not."""
    for name, problem in engine.readiness.problems().items():
        raise ProblemError(503, "not_ready", f"{name}: {problem}", {"Retry-After": "5"})
    full = engine.health.problem("disk")
    # Still ready, because searches work. If all replicas write to one disk, no replica would be left for them.
    return JsonResponse({"ready": True} if full is None else {"ready": True, "read_only": full})


def _service(
    problem: str | None, detail: str | None = None, *, checked_seconds_ago: float | None = None
) -> ServiceHealth:
    return ServiceHealth(
        status="unavailable" if problem else "ok",
        detail=problem or detail,
        checked_seconds_ago=None if checked_seconds_ago is None else round(checked_seconds_ago, 1),
    )


def _describe(model: ModelInfo) -> str:
    text = f"{model.spec.name} on {model.device} in {model.precision}"
    return f"{text}, instead of the requested model: {model.fallback_reason}" if model.fallback_reason else text
