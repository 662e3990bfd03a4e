"""The state of the service."""

from __future__ import annotations

from datetime import UTC, datetime
from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from image_similarity import __version__
from image_similarity.api.answers import JsonAnswer
from image_similarity.api.dependencies import EngineDep, JobsDep, SettingsDep
from image_similarity.api.errors import ProblemError, responses
from image_similarity.api.routes import PREFIX
from image_similarity.api.status_schemas import (
    HealthResponse,
    ReadyResponse,
    ServiceHealth,
    StatsResponse,
    WarmResponse,
)
from image_similarity.domain import Overloaded, StoreUnavailable
from image_similarity.engine import RunningModel

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
async def health(engine: EngineDep, jobs: JobsDep) -> HealthResponse:
    """Always 200 while the process answers; `status` and `services` tell what is wrong with its parts."""
    failures = await engine.failures()
    services = {"model": ServiceHealth(status="ok", detail=_describe(engine.model))}
    for part in engine.PARTS:
        detail = failures.get(part)
        services[part] = ServiceHealth(status="unavailable" if detail else "ok", detail=detail)
    # Neither is one of the engine's PARTS, which /ready demands: without Redis all is served, only slower, and
    # searches go on without the broker.
    for part, detail in (("cache", engine.cache_failure()), ("jobs", (await jobs.info()).problem)):
        services[part] = ServiceHealth(status="unavailable" if detail else "ok", detail=detail)
    return HealthResponse(
        status="ok" if all(service.status == "ok" for service in services.values()) else "degraded",
        timestamp=datetime.now(UTC),
        version=__version__,
        services=services,
    )


@probes.get(
    "/ready",
    summary="Whether requests may be sent here",
    response_model=ReadyResponse,
    responses=responses(503),
)
async def ready(request: Request, engine: EngineDep) -> Response:
    """503 if store or storage does not answer, no image can be decoded, or it stops: balancers look elsewhere."""
    if getattr(request.app.state, "draining", False):
        raise ProblemError(503, "draining", "The server is stopping; it finishes what it has.", {"Retry-After": "5"})
    failures = await engine.failures()
    for failure in failures.values():
        raise StoreUnavailable(failure)
    if (failing := engine.decode_failure()) is not None:
        raise Overloaded(failing, retry_after=5)
    return JsonAnswer({"ready": True})


def _describe(model: RunningModel) -> str:
    text = f"{model.spec.name} on {model.device} in {model.precision}"
    return f"{text}, in place of the model asked for: {model.fallback_reason}" if model.fallback_reason else text
