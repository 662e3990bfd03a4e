"""The server process."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.loops.auto import auto_loop_factory

from image_similarity.api.app import create_app
from image_similarity.bootstrap.engine import build_engine, open_tracing
from image_similarity.bootstrap.http_protocol import SingleWriteProtocol
from image_similarity.bootstrap.jobs import build_jobs, check_settings
from image_similarity.bootstrap.listening import bind, refusal
from image_similarity.bootstrap.models import log_stand_in
from image_similarity.bootstrap.stores import lock_collection
from image_similarity.domain.errors import InvalidRequest, StoreUnavailable
from image_similarity.images.addresses import read_address
from image_similarity.settings import Settings
from image_similarity.telemetry.logging import get_logger
from image_similarity.vectors.qdrant_edge.folder_lock import FolderLock

GRACE_SECONDS = 30
"""How long running requests may take to finish after the signal to stop."""

LAST_SECONDS = 5
"""How long the process may take after that to flush and close its parts; then it exits."""


def serve(settings: Settings, on_ready: Callable[[str], None] = lambda _: None) -> None:
    """Load all parts, then serve until a signal; `on_ready` is called with the URL when the server answers.

    Raises the errors of `check_reach`, `check_settings`, `bind`, `build_engine` and `build_jobs`, and StoreUnavailable
    at the end if the last writes may be lost.
    """
    check_reach(settings)
    check_settings(settings)
    # Before the model is loaded, which takes seconds: another program may have the port.
    sockets = bind(settings.api_host, settings.api_port)
    try:
        # uvloop, if it is installed: a cached search takes 0.42 ms of CPU time, on asyncio's own loop 0.50.
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            runner.run(_serve(settings, sockets, on_ready))
    finally:
        for bound in sockets:
            bound.close()


def check_reach(settings: Settings) -> None:
    """Raise InvalidRequest if the network could use the server without a key, unless ALLOW_ANONYMOUS is set."""
    address = read_address(settings.api_host.strip("[]"))
    local = settings.api_host == "localhost" if address is None else address.is_loopback
    if not (local or settings.api_keys or settings.allow_anonymous):
        raise InvalidRequest(
            f"API_HOST is {settings.api_host}, which others on the network reach, and there are no API_KEYS: they "
            "could read, change and delete all images. Set API_KEYS (openssl rand -hex 24 makes a key), or "
            "API_HOST=127.0.0.1 to serve this machine alone, or ALLOW_ANONYMOUS=true to serve all of them."
        )


async def _serve(settings: Settings, sockets: list[socket.socket], on_ready: Callable[[str], None]) -> None:
    tracing = open_tracing(settings, "api")
    # Before anything is loaded: another process may have the folder.
    lock = await lock_collection(settings)
    engine = await build_engine(settings, lock)
    try:
        if settings.broker_url is None or engine.tags_at_once:
            await engine.load_tagger()
        jobs = build_jobs(settings, engine)
    except BaseException:
        await engine.close()
        raise
    app = create_app(engine, settings, jobs, tracing)
    # Exclude the loaded objects from garbage collection: a full collection would take 0.23 s with torch.
    gc.freeze()
    config = uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        # Logging is set up already, and each request is logged by our own middleware.
        log_config=None,
        access_log=False,
        # The application's own middleware reads them, according to TRUSTED_PROXIES.
        proxy_headers=False,
        server_header=False,
        http=SingleWriteProtocol,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    model, stats = engine.model, await engine.stats()
    log_stand_in(settings, model.fallback_reason)
    get_logger().info(
        "starting",
        url=f"http://{settings.api_host}:{settings.api_port}",
        model=model.spec.name,
        device=model.device,
        precision=model.precision,
        images=stats.collection.images,
    )
    for advice in stats.recommendations:
        get_logger().warning("recommendation", advice=advice)
    await _Server(config, app, settings.drain_seconds, lock, on_ready).serve(sockets)
    if tracing is not None:
        await asyncio.to_thread(tracing.close)


class _Server(uvicorn.Server):
    """Writes its URL into the lock file of the data folder.

    At SIGTERM it reports not ready and goes on serving for `drain_seconds`; then, or at a second signal, it stops.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        app: FastAPI,
        drain_seconds: float,
        lock: FolderLock | None,
        on_ready: Callable[[str], None],
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._app = app
        self._drain_seconds = drain_seconds
        self._lock = lock
        self._loop = asyncio.get_running_loop()
        self._told = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; uvicorn calls this with the sockets of `bind`. Raises InvalidRequest if another took the port."""
        try:
            await super().startup(sockets)
        except OSError as error:
            # A server that was started at the same time listens already.
            await self.lifespan.shutdown()
            raise refusal(self.config.host, self.config.port, error) from error
        if not self.started:
            return
        url = local_url(self.config.host, self.servers[0].sockets[0].getsockname()[1])
        if self._lock is not None:
            self._lock.announce(url)
        get_logger().info("serving", url=url)
        self._on_ready(url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish; uvicorn calls this last. Raises StoreUnavailable if the last writes may be lost."""
        await super().shutdown(sockets)
        # Raised here, because uvicorn then ends the process with the signal that stopped it, as if nothing were wrong.
        if self._app.state.lost:
            raise StoreUnavailable(self._app.state.lost)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by Python's own signal handling, between any two instructions of the main thread."""
        if not self._told:
            self._told = True
            _end_within(self._drain_seconds + GRACE_SECONDS + LAST_SECONDS)
        if sig != signal.SIGTERM or not self._drain_seconds or self._app.state.draining:
            super().handle_exit(sig, frame)
            return
        self._app.state.draining = True
        stop = partial(super().handle_exit, sig, None)
        self._loop.call_soon_threadsafe(self._loop.call_later, self._drain_seconds, stop)


def local_url(host: str, port: int) -> str:
    """Return the URL for this machine of a server that listens on `host`, which may mean every interface."""
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound here
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _end_within(seconds: float) -> None:
    """Exit after so many seconds, even if something hangs: a decoder's thread, which cannot be stopped, or a disk."""
    last = threading.Timer(seconds, _end)
    last.daemon = True
    last.start()


def _end() -> None:
    hanging = [thread.name for thread in threading.enumerate() if thread is not threading.current_thread()]
    get_logger().error("ended_before_all_was_done", threads=hanging)
    os._exit(1)
