"""The FastAPI application around an engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from image_similarity import __version__
from image_similarity.api import docs_page, errors, openapi
from image_similarity.api import web_page as page
from image_similarity.api.auth import ApiKeyAuth
from image_similarity.api.browsers import RefuseForeignPages, allowed_hosts
from image_similarity.api.compression import CompressJson
from image_similarity.api.dependencies import EngineDep, JobsDep
from image_similarity.api.health import watching
from image_similarity.api.in_flight import Budget, BytesInFlightMiddleware
from image_similarity.api.limit_body import BodyLimitMiddleware, BodyLimits
from image_similarity.api.metrics import metrics_answer
from image_similarity.api.middleware import RawPathMiddleware, RequestLogMiddleware, TraceRequests
from image_similarity.api.room import RequireRoom
from image_similarity.api.routes import PREFIX, facets, feedback, images, jobs, search, service
from image_similarity.domain.errors import StoreUnavailable
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.jobs.service import JobService
from image_similarity.settings import Settings
from image_similarity.telemetry.logging import get_logger
from image_similarity.telemetry.tracing import Tracing


def create_app(
    engine: SearchEngine, settings: Settings, bulk_jobs: JobService, tracing: Tracing | None = None
) -> FastAPI:
    """Return the application. It starts the bulk jobs, and closes them and the engine when it shuts down."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await bulk_jobs.start()
        stop = asyncio.Event()
        tidying = asyncio.create_task(engine.run_maintenance(stop))
        async with watching(engine, bulk_jobs.info):
            yield
        stop.set()
        await tidying
        await bulk_jobs.close()
        try:
            await engine.close()
        except StoreUnavailable as error:
            # The caller that runs the server reports it. Raised here, uvicorn would print a traceback.
            get_logger().error("shutdown_failed", error=str(error))
            app.state.lost = str(error)

    app = FastAPI(
        lifespan=lifespan,
        title=settings.app_name,
        version=__version__,
        summary="Drop images in, find the ones that look alike.",
        docs_url=None,
        redoc_url=None,
        # A redirect would lead to the host that the request names.
        redirect_slashes=False,
    )
    app.state.engine = engine
    app.state.jobs = bulk_jobs
    app.state.settings = settings
    app.state.started = monotonic()
    app.state.draining = False
    app.state.lost = None
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    errors.install(app)

    limits = BodyLimits(settings.max_body_bytes, {f"{PREFIX}/index/batch": settings.max_batch_bytes})
    guard = [Depends(ApiKeyAuth(settings.api_keys))]
    room = Depends(RequireRoom(limits))
    # Load balancers and kubelets send no key.
    app.include_router(service.probes)
    for router in (search.router, facets.router, service.router):
        app.include_router(router, dependencies=guard)
    for router in (feedback.router, images.router, jobs.router):
        app.include_router(router, dependencies=[*guard, room])
    app.include_router(_metrics)
    page.install(app)
    docs_page.install(app)
    _build_routes(app)

    # A request passes the middleware that was added last first.
    # Inside the middleware that splits an answer into pieces, because pieces can no longer be compressed.
    app.add_middleware(CompressJson)
    app.add_middleware(BodyLimitMiddleware, limits=limits)
    app.add_middleware(
        BytesInFlightMiddleware, budget=Budget(settings.max_bytes_in_flight, engine.metrics), limits=limits
    )
    app.add_middleware(RawPathMiddleware)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["*"], allow_headers=["*"]
        )
    app.add_middleware(RefuseForeignPages, hosts=allowed_hosts(settings), origins=settings.cors_origins)
    app.add_middleware(RequestLogMiddleware, metrics=engine.metrics)
    if tracing is not None:
        app.add_middleware(TraceRequests, tracing=tracing)
    # Outermost, so that all others see the client's address, and not that of our proxy.
    app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=settings.trusted_proxies)
    return app


def _build_routes(app: FastAPI) -> None:
    """Build the parameter models of all routes now; else the first request would do so and block the event loop."""
    # No route has this path, so every route is tried.
    scope = {"type": "http", "method": "GET", "path": "/no/route/has/this", "root_path": "", "headers": []}
    for route in app.routes:
        route.matches(scope)


_metrics = APIRouter(include_in_schema=False)


@_metrics.get("/metrics")
async def metrics(engine: EngineDep, jobs: JobsDep) -> Response:
    """Metrics in Prometheus' text format."""
    return metrics_answer(engine, await jobs.info())
