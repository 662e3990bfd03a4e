"""A worker's HTTP application: its health and its metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Response

from image_similarity import __version__
from image_similarity.api import errors
from image_similarity.api.health import ReadQueues, health_of, ready_answer, watching
from image_similarity.api.metrics import metrics_answer
from image_similarity.api.responses import JsonResponse
from image_similarity.api.routes import PREFIX
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.settings import Settings


def create_worker_app(engine: SearchEngine, settings: Settings, read_queues: ReadQueues) -> FastAPI:
    """Return the application; the caller closes the engine."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with watching(engine, read_queues):
            yield

    app = FastAPI(
        title=f"{settings.app_name}: worker", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan
    )
    errors.install(app)

    @app.get(f"{PREFIX}/health")
    async def health() -> Response:
        return JsonResponse(health_of(engine).model_dump(mode="json"))

    @app.get(f"{PREFIX}/ready")
    async def ready() -> Response:
        # Stores and broker are not checked: if one of them is away, a worker waits and needs no restart.
        return ready_answer(engine)

    @app.get("/metrics")
    async def metrics() -> Response:
        return metrics_answer(engine, await read_queues())

    return app
