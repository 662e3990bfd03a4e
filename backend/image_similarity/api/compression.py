"""Compress large JSON answers for clients that accept gzip: 48 kB of search results become 13.

Only JSON: images are compressed already, and events must be sent at once. The length of a compressed answer reveals
something about its content (BREACH). That does no harm here, because no answer holds a secret: keys are never sent
back, and there are no cookies.
"""

from __future__ import annotations

import asyncio
import gzip

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEAST_BYTES = 4096
"""A smaller answer takes two or three packets in any case."""

LONG_BYTES = 131_072
"""From this size on compression takes more than a millisecond, so it runs in a thread."""

_LEVEL = 1
"""The fastest: a tenth larger than the default level, in a third of its time."""

_TYPES = ("application/json", "application/problem+json")


class CompressJson:
    """Compresses JSON answers that are sent in one piece."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and its answer back."""
        if scope["type"] != "http" or scope["method"] == "HEAD":
            await self._app(scope, receive, send)
            return
        start: Message | None = None

        async def compress(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_json(Headers(raw=message["headers"])):
                # Held back, because its Content-Length depends on the body.
                start = message
                return
            if start is None:
                await send(message)
                return
            held, start = start, None
            body = message.get("body", b"")
            if len(body) >= LEAST_BYTES and not message.get("more_body"):
                headers = MutableHeaders(scope=held)
                headers.add_vary_header("Accept-Encoding")
                if takes_gzip(Headers(scope=scope).get("accept-encoding", "")):
                    message = {**message, "body": await _compressed(body)}
                    headers["content-encoding"] = "gzip"
                    headers["content-length"] = str(len(message["body"]))
            await send(held)
            await send(message)

        await self._app(scope, receive, compress)


def takes_gzip(accepted: str) -> bool:
    """Return whether an `Accept-Encoding` accepts gzip or `*`; `gzip;q=0` refuses it."""
    weights = {}
    for item in accepted.lower().split(","):
        name, _, weight = item.partition(";")
        weights[name.strip()] = weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return weights.get("gzip", weights.get("*", False))


def _is_json(headers: Headers) -> bool:
    kind = headers.get("content-type", "").partition(";")[0].strip()
    return kind in _TYPES and "content-encoding" not in headers


async def _compressed(body: bytes) -> bytes:
    if len(body) < LONG_BYTES:
        return gzip.compress(body, _LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
