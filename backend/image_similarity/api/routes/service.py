"""The state of the service."""

from __future__ import annotations

from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from image_similarity.api.dependencies import EngineDep, JobsDep, SettingsDep
from image_similarity.api.errors import ProblemError, responses
from image_similarity.api.health import health_of, ready_answer
from image_similarity.api.routes import PREFIX
from image_similarity.api.schemas.status import HealthResponse, ReadyResponse, StatsResponse, WarmResponse

router = APIRouter(prefix=PREFIX, tags=["service"])
probes = APIRouter(prefix=PREFIX, tags=["service"])
"""Open to all, with or without API keys."""


@router.get("/stats", summary="The service in numbers", response_model=StatsResponse, responses=responses(503))
async def stats(request: Request, engine: EngineDep, jobs: JobsDep, settings: SettingsDep) -> StatsResponse:
    """Model, text model, collection, queue, cache, and recommendations for the operator."""
    uptime = monotonic() - request.app.state.started
    return StatsResponse.of(
        await engine.stats(), uptime_seconds=uptime, queue_limit=settings.max_queue, jobs=await jobs.info()
    )


@router.post("/cache/warm", summary="Warm the cache", response_model=WarmResponse, responses=responses(422))
async def warm(
    engine: EngineDep,
    top: Annotated[int, Query(ge=1, le=10_000, description="Most embeddings to load.")] = 1000,
) -> WarmResponse:
    """Load the embeddings that are used most, on any replica, from Redis into this process."""
    return WarmResponse(loaded=await engine.warm(top))


@probes.get("/health", summary="Whether the process is alive", response_model=HealthResponse, responses=responses())
async def health(engine: EngineDep) -> HealthResponse:
    """Answers 200 at once while the process runs; `status` and `services` report problems of its parts.

    The parts are checked every few seconds. `degraded`: a part that replicas share is away, and requests that do not
    need it are served. `unhealthy`: this process itself has a problem, and `/ready` is 503.
    """
    return health_of(engine)


@probes.get(
    "/ready",
    summary="Whether requests may be sent here",
    response_model=ReadyResponse,
    responses=responses(503),
)
async def ready(request: Request, engine: EngineDep) -> Response:
    """503 if this process itself has a problem or is stopping: balancers then use another replica.

    For the parts that replicas share (Qdrant server, storage, Redis, broker), see `/health`.
    """
    if getattr(request.app.state, "draining", False):
        raise ProblemError(503, "draining", "The server is stopping; it finishes what it has.", {"Retry-After": "5"})
    return ready_answer(engine)
