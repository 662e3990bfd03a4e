"""Middleware for every request: its id, its log line, its metrics, its trace."""

from __future__ import annotations

import re
from time import perf_counter

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from image_similarity.api.errors import internal_error
from image_similarity.api.guesses import client_address
from image_similarity.telemetry.logging import get_logger
from image_similarity.telemetry.metrics import Metrics
from image_similarity.telemetry.tracing import Tracing

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_QUIET = frozenset({"/metrics", "/api/v1/health", "/api/v1/ready"})
"""Machines request these every few seconds, so they are logged at DEBUG only."""


class RequestLogMiddleware:
    """Gives each request an id (the caller's, if it is valid), and logs and measures its answer.

    It also adds the headers that all answers have.
    Plain ASGI, because Starlette's base class for middleware costs one task and two queues per request.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else str(uuid7())
        scope["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        path = scope["path"]
        status, begun = 500, False

        async def send_with_id(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                begun = True
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                # No page of another origin may embed our answers, and no browser may guess their type.
                headers["cross-origin-resource-policy"] = "same-origin"
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        # The last resort for a bug of ours: the log gets the traceback, the caller only a problem document.
        except Exception as error:
            get_logger().error("internal_error", exc_info=error)
            if not begun:
                await internal_error(scope)(scope, receive, send_with_id)
        finally:
            seconds = perf_counter() - started
            # The pattern, not the path: one label per image would fill Prometheus' memory.
            route = getattr(scope.get("route"), "path_format", "unmatched")
            self._metrics.requests.labels(scope["method"], route, status).observe(seconds)
            log = get_logger().debug if path in _QUIET else get_logger().info
            log(
                "request",
                method=scope["method"],
                path=path,
                status=status,
                ms=round(seconds * 1000, 2),
                client=client_address(scope),
                # Set by ApiKeyAuth.
                key=scope.get("api_key"),
            )
            structlog.contextvars.unbind_contextvars("request_id")


class TraceRequests:
    """Begins a trace for each request, or continues the caller's (`traceparent`); its id is in every log line."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in _QUIET:
            await self._app(scope, receive, send)
            return
        with self._tracing.begin(scope["method"], "server", Headers(scope=scope)) as root:

            async def send_and_note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    root.set_attribute("http.response.status_code", message["status"])
                await send(message)

            trace_id = f"{root.get_span_context().trace_id:032x}"
            with structlog.contextvars.bound_contextvars(trace_id=trace_id):
                await self._app(scope, receive, send_and_note)
            route = getattr(scope.get("route"), "path_format", "unmatched")
            root.update_name(f"{scope['method']} {route}")
            root.set_attributes({"http.request.method": scope["method"], "http.route": route})


class RawPathMiddleware:
    """Routes `/images/{image_id}` by the path as it was sent, so that an id may hold an encoded slash.

    In the decoded path, the image `a/file` and the file of the image `a` look the same.
    """

    PREFIX = b"/api/v1/images/"

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http" and scope.get("raw_path", b"").startswith(self.PREFIX):
            scope["path"] = scope["raw_path"].decode("latin-1")
        await self._app(scope, receive, send)
