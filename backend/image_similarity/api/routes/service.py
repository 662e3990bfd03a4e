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
    """Model, text model, collection, queue and cache, and what an operator should do next."""
    uptime = monotonic() - request.app.state.started
    return StatsResponse.of(
        await engine.stats(), uptime_seconds=uptime, queue_limit=settings.max_queue, jobs=await jobs.info()
    )


@router.post("/cache/warm", summary="Warm the cache", response_model=WarmResponse, responses=responses(422))
async def warm(
    engine: EngineDep,
    top: Annotated[int, Query(ge=1, le=10_000, description="Most embeddings to bring.")] = 1000,
) -> WarmResponse:
    """Bring the embeddings that are asked most, on any replica, from Redis into this process."""
    return WarmResponse(loaded=await engine.warm(top))


@probes.get("/health", summary="Whether the process is alive", response_model=HealthResponse, responses=responses())
async def health(engine: EngineDep) -> HealthResponse:
    """Always 200 while the process answers, at once; `status` and `services` tell what is wrong with its parts.

    They are looked at every few seconds. `degraded`: a part that others share is away, and what does not need it is
    served. `unhealthy`: something is wrong with this process itself, and `/ready` is 503.
    """
    return health_of(engine)


@probes.get(
    "/ready",
    summary="Whether requests may be sent here",
    response_model=ReadyResponse,
    responses=responses(503),
)
async def ready(request: Request, engine: EngineDep) -> Response:
    """503 where something is wrong with this process itself, or it is stopping: balancers look elsewhere.

    Of what replicas share, the Qdrant server, the storage, Redis and the broker, see `/health`.
    """
    if getattr(request.app.state, "draining", False):
        raise ProblemError(503, "draining", "The server is stopping; it finishes what it has.", {"Retry-After": "5"})
    return ready_answer(engine)
