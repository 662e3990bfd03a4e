"""A server that answers what a test tells it to, and counts what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, Any] | None
"""Status and JSON; None closes the connection without a word."""


@dataclass
class FakeHttpServer:
    port: int = 0
    asked: list[str] = field(default_factory=list)
    """Method and path of each request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def fake_http_server(answer: Callable[[int], Answer], *, delay: float = 0) -> AsyncIterator[FakeHttpServer]:
    """Serve in this event loop; `answer` is given the number of the request, from 0."""
    state = FakeHttpServer()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            state.asked.append(" ".join(head.split(" ")[:2]))
            await asyncio.sleep(delay)
            answered = answer(len(state.asked) - 1)
            if answered is not None:
                status, content = answered
                body = json.dumps(content).encode()
                head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    async with server:
        yield state
