"""The worker process: one engine, loaded once, which processes one chunk per thread at a time."""

from __future__ import annotations

import asyncio
import threading
import time
import warnings
from collections.abc import Coroutine
from concurrent.futures import Future
from itertools import count
from typing import Any, TypeVar

import uvicorn
from celery import Celery, signals
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from kombu.exceptions import OperationalError

from image_similarity.api.worker_app import create_worker_app
from image_similarity.bootstrap.engine import build_engine, open_tracing
from image_similarity.bootstrap.jobs import check_settings, chunk_processor, open_ledger
from image_similarity.concurrency.backoff import pause_before
from image_similarity.domain.errors import InvalidRequest
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.jobs.celery_app import declare_queues, make_app
from image_similarity.jobs.chunks import ChunkProcessor
from image_similarity.jobs.rabbitmq import FIRST_PAUSE, MAX_BACKOFF_SECONDS, queue_watch
from image_similarity.jobs.tasks import Delivery, register
from image_similarity.settings import Settings
from image_similarity.telemetry.logging import get_logger
from image_similarity.telemetry.tracing import Tracing

T = TypeVar("T")


class EventLoopThread:
    """An event loop in its own thread. The engine runs there; Celery's threads wait for it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="engine", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for the work and return its result, or raise its error."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def spawn(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start the work without waiting for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Stop the loop; the work must be done by then."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def celery_for(
    broker_url: str, processor: ChunkProcessor, loop: EventLoopThread, tracing: Tracing | None = None
) -> Celery:
    """Return a Celery application whose task indexes chunks with the engine in `loop`."""

    def work(it: Delivery) -> None:
        if it.give_up:
            loop.run(processor.give_up(it.job_id, it.chunk, "It failed, or took its worker down, every time."))
        else:
            loop.run(processor.process(it.job_id, it.chunk, attempt=it.attempt, last=it.last))

    app = make_app(broker_url)
    # Tasks of the loop belong to the trace of the waiting thread, because they copy its context.
    register(app, work, lambda: loop.run(processor.is_away()), tracing)
    return app


def run_worker(settings: Settings, *, concurrency: int) -> int:
    """Process chunks until a signal (after SIGTERM, finish the chunks in progress); return the exit status.

    Threads, not processes: the model is loaded once, its batches are filled from all chunks, and torch does not survive
    a fork. Raises InvalidRequest without a broker or a shared store, and the errors of `build_engine`.
    """
    if settings.broker_url is None:
        raise InvalidRequest("A worker takes its work from RabbitMQ: set BROKER_URL, to the server's value.")
    check_settings(settings)
    url = settings.broker_url.get_secret_value()
    # SecurityWarning is about running as root, which is dangerous only with pickled messages, and we refuse those. The
    # other warning says that a chunk goes on when its connection breaks, which we want.
    warnings.simplefilter("ignore", SecurityWarning)
    warnings.simplefilter("ignore", CPendingDeprecationWarning)
    # Else Celery would configure its own logging.
    signals.setup_logging.connect(_keep_logging, weak=False)
    signals.worker_ready.connect(_look_about, weak=False)
    tracing = open_tracing(settings, "worker")
    loop = EventLoopThread()
    # A worker embeds images; a text tower may be six times as large as the image tower.
    images_only = settings.model_copy(update={"text_model_name": None, "text_preload": False})
    engine = loop.run(build_engine(images_only))
    probes: Probes | None = None
    try:
        loop.run(engine.load_tagger())
        app = celery_for(url, chunk_processor(settings, engine, open_ledger(settings, engine.metrics)), loop, tracing)
        if settings.worker_port is not None:
            probes = Probes(engine, settings, url, loop)
        _wait_for_broker(app)
        get_logger().info("worker_starting", concurrency=concurrency, model=engine.model.spec.name)
        worker = app.Worker(
            pool="threads",
            concurrency=concurrency,
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        worker.start()
        return int(worker.exitcode or 0)
    finally:
        if probes is not None:
            probes.close()
        loop.run(engine.close())
        loop.close()
        if tracing is not None:
            tracing.close()


class Probes:
    """Answers health checks and metrics scrapes over HTTP, in the engine's event loop, until closed."""

    def __init__(self, engine: SearchEngine, settings: Settings, broker_url: str, loop: EventLoopThread) -> None:
        app = create_worker_app(engine, settings, queue_watch(broker_url).get)
        port = settings.worker_port or 0
        self._server = uvicorn.Server(
            uvicorn.Config(app, host=settings.api_host, port=port, log_config=None, access_log=False, lifespan="on")
        )
        self._serving = loop.spawn(self._server.serve())

    def close(self) -> None:
        """Answer the running requests, then stop."""
        self._server.should_exit = True
        self._serving.result()


def _wait_for_broker(app: Celery) -> None:
    for attempt in count():
        try:
            declare_queues(app)
        except (OperationalError, OSError) as error:
            pause = pause_before(attempt, first=FIRST_PAUSE, most=MAX_BACKOFF_SECONDS)
            get_logger().warning("broker_unavailable", error=str(error), retry_in=pause)
            time.sleep(pause)
        else:
            return


def _keep_logging(**_: object) -> None:
    pass


def _look_about(sender: Any, **_: object) -> None:
    """Wake Celery's event loop every second, so that it notices SIGTERM at once even without messages."""
    sender.hub.call_repeatedly(1.0, _nothing)


def _nothing() -> None:
    pass
