"""What a worker answers over HTTP: whether it is ready, and its metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic

from fastapi import FastAPI, Request, Response

from image_similarity import __version__
from image_similarity.api import errors
from image_similarity.api.answers import JsonAnswer
from image_similarity.api.metrics import metrics_answer
from image_similarity.api.routes import PREFIX
from image_similarity.domain import Overloaded, StoreUnavailable
from image_similarity.engine import SearchEngine
from image_similarity.jobs.base import QueueInfo
from image_similarity.settings import Settings

ReadQueues = Callable[[], Awaitable[QueueInfo]]


def create_worker_app(engine: SearchEngine, settings: Settings, read_queues: ReadQueues) -> FastAPI:
    """Return the application; the engine stays the caller's."""
    app = FastAPI(title=f"{settings.app_name}: worker", version=__version__, docs_url=None, redoc_url=None)
    started = monotonic()
    errors.install(app)

    @app.get(f"{PREFIX}/health")
    async def health() -> Response:
        return JsonAnswer({"status": "ok", "version": __version__, "uptime_seconds": monotonic() - started})

    @app.get(f"{PREFIX}/ready")
    async def ready(_: Request) -> Response:
        failures = await engine.failures()
        if (problem := (await read_queues()).problem) is not None:
            failures["broker"] = problem
        for failure in failures.values():
            raise StoreUnavailable(failure)
        if (failing := engine.decode_failure()) is not None:
            raise Overloaded(failing, retry_after=5)
        return JsonAnswer({"ready": True})

    @app.get("/metrics")
    async def metrics() -> Response:
        return await metrics_answer(engine, await read_queues())

    return app
