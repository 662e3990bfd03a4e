"""A connection on which answers get lost and requests arrive late, in front of any HTTP/1.1 server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum

Writes = Callable[[str, str], bool]
"""Tells by its method and path whether a request is one that faults are for."""


class Fault(Enum):
    """What becomes of a request; either way its sender sees the connection close without an answer."""

    LOSE_ANSWER = "the server does what it is asked"
    HOLD = "the server gets it when it lands, later"


def changes_points(method: str, path: str) -> bool:
    """Tell whether a request to Qdrant changes points."""
    route = path.partition("?")[0]
    return (method, route.endswith("/points")) == ("PUT", True) or route.endswith(("/points/delete", "/points/payload"))


@dataclass
class FaultyLink:
    """Passes everything on, except what `faults` are for: each is for one request, in their order."""

    target: int
    """Port."""
    is_write: Writes
    port: int = 0
    faults: list[Fault] = field(default_factory=list)
    held: list[bytes] = field(default_factory=list)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    on_lost: Callable[[], object] = lambda: None
    """Called when the server has done something whose answer is about to be lost."""
    lost: int = 0
    """Answers so far."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def land(self) -> None:
        """Deliver what is held, in its order, and wait until the server has answered each."""
        held, self.held = self.held, []
        for request in held:
            answer = await _ask(self.target, request)
            assert answer.startswith(b"HTTP/1.1 200"), answer

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while (request := await _message(reader)) is not None:
                method, path = request.split(b" ", 2)[:2]
                fault = self.faults[0] if self.faults and self.is_write(method.decode(), path.decode()) else None
                if fault is Fault.HOLD:
                    self.faults.pop(0)
                    self.held.append(request)
                    return
                # If there is no server any more, the fault is left for another request.
                answer = await _ask(self.target, request)
                if fault is Fault.LOSE_ANSWER:
                    self.faults.pop(0)
                    self.lost += 1
                    self.on_lost()
                    return
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()


@asynccontextmanager
async def faulty_link(target: int, is_write: Writes = changes_points) -> AsyncIterator[FaultyLink]:
    """Listen, in this event loop, on a free port in front of a server on this machine."""
    link = FaultyLink(target, is_write)
    server = await asyncio.start_server(link.handle, "127.0.0.1", 0)
    link.port = server.sockets[0].getsockname()[1]
    async with server:
        yield link
        for writer in link.writers:
            writer.close()


async def _ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        answer = await _message(reader)
        if answer is None:
            raise ConnectionResetError
        return answer
    finally:
        writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes | None:
    """Read a request or an answer, None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    headers = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    return head + await reader.readexactly(int(headers.get(b"content-length", b"0")))
