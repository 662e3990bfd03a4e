"""A replica without a model: `python fake_replica.py PORT NAME`. What stands behind the balancer in its tests.

It writes as the real server does, and answers each request with what arrived, after a pause (X-Pause seconds), so
that there are always some under way; with X-Overloaded naming it, it answers 503, and with X-Store-Away what the real
server answers while the store is away. X-Trickle has it answer with so many bytes, one by one, each after a pause.
X-Poison kills it.
SIGUSR1 turns it not ready and back.
SIGTERM stops it as the real server is stopped: not ready at first, for long enough that the balancer sees it, then
finishing what it has.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from image_similarity.api.errors import RETRIED_NOWHERE
from image_similarity.bootstrap.http_protocol import SingleWriteProtocol

PAUSE = 0.3
DRAIN = 1.5
"""Seconds: well over two failed checks of the balancer."""


class FakeReplica:
    """The ASGI application."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.ready = True

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["path"] == "/api/v1/ready":
            await _answer(send, 200 if self.ready else 503, {"ready": self.ready})
            return
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        headers: dict[str, str] = {}
        for name, value in ((name.decode(), value.decode()) for name, value in scope["headers"]):
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        if headers.get("x-overloaded") == self._name:
            await _answer(send, 503, {"code": "overloaded"})
            return
        if "x-poison" in headers:
            os.kill(os.getpid(), signal.SIGKILL)
        pause = float(headers.get("x-pause", PAUSE))
        if "x-store-away" in headers:
            # The store's time limit.
            await asyncio.sleep(pause)
            asked_for = headers.get("x-no-retry-status") == str(RETRIED_NOWHERE)
            await _answer(send, RETRIED_NOWHERE if asked_for else 503, {"code": "store_unavailable"})
            return
        if "x-disk-full" in headers:
            await _answer(send, 507, {"code": "disk_full"}, (b"x-keep-status", b"507"))
            return
        if "x-trickle" in headers:
            await _trickle(send, int(headers["x-trickle"]), pause)
            return
        await asyncio.sleep(pause)
        await _answer(send, 200, {"replica": self._name, "size": size, "headers": headers})


async def _answer(
    send: Callable[[Any], Awaitable[None]], status: int, body: dict[str, Any], *headers: tuple[bytes, bytes]
) -> None:
    content = json.dumps(body).encode()
    length = (b"content-length", str(len(content)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": content})


async def _trickle(send: Callable[[Any], Awaitable[None]], size: int, pause: float) -> None:
    length = str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    for left in reversed(range(size)):
        await asyncio.sleep(pause)
        await send({"type": "http.response.body", "body": b"x", "more_body": left > 0})


async def serve(port: int, name: str) -> None:
    """Listen until SIGTERM."""
    replica = FakeReplica(name)
    # The socket is ours, so that uvicorn takes no signals.
    server = uvicorn.Server(
        uvicorn.Config(replica, port=port, log_level="error", lifespan="off", backlog=512, http=SingleWriteProtocol)
    )
    loop = asyncio.get_running_loop()

    def turn() -> None:
        replica.ready = not replica.ready

    def stop() -> None:
        replica.ready = False
        loop.call_later(DRAIN, setattr, server, "should_exit", True)

    loop.add_signal_handler(signal.SIGUSR1, turn)
    loop.add_signal_handler(signal.SIGTERM, stop)
    await server._serve()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
