"""Answers that leave the process in one piece.

uvicorn writes an answer's head, and then its body: two calls of the kernel and two packets. A replica that is killed
between them leaves half an answer, which no balancer can take back; one that is killed before the first byte is only
asked again elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_BYTES = 65536
"""What is held back at most: beyond it the transport must see what is written, to slow the writer down."""


class WholeAnswers(HttpToolsProtocol):
    """uvicorn's HTTP protocol on a `JoiningTransport`; for `uvicorn.Config(http=...)`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop for each connection."""
        joining = JoiningTransport(cast(asyncio.Transport, transport), asyncio.get_running_loop())
        super().connection_made(cast(asyncio.Transport, joining))


class JoiningTransport:
    """Hands another transport in one piece what is written within one turn of the event loop; the rest is its own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold `data` until the turn ends, or `MOST_BYTES` are held."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)
        self._size += len(data)
        if self._size >= MOST_BYTES:
            self._flush()

    def close(self) -> None:
        """Close when everything is written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            whole = b"".join(self._held)
            self._held, self._size = [], 0
            self._transport.write(whole)
