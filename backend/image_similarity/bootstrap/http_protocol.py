"""Answers that leave the process in one piece.

uvicorn writes an answer's head, and then its body: two calls of the kernel and two packets. A replica that is killed
between them leaves half an answer, which no balancer can take back; one that is killed before the first byte is only
asked again elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from image_similarity.api.bounded_requests import BoundedRequests

LONG_BYTES = 65536
"""A body from here on is not worth the copy: the kernel takes it in several pieces in any case."""


class SingleWriteProtocol(BoundedRequests):
    """uvicorn's HTTP protocol on a `BufferedHeadTransport`; for `uvicorn.Config(http=...)`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop for each connection."""
        joining = BufferedHeadTransport(cast(asyncio.Transport, transport), asyncio.get_running_loop())
        super().connection_made(cast(asyncio.Transport, joining))


class BufferedHeadTransport:
    """Holds an answer's head for what is written within the same turn of the event loop; the rest is another's work."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold a head; write anything else at once, behind the head that is held."""
        if not self._head and data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._loop.call_soon(self._go_ahead)
        elif self._head and len(data) < LONG_BYTES:
            whole, self._head = self._head + data, b""
            self._transport.write(whole)
        else:
            self._flush()
            self._transport.write(data)

    def close(self) -> None:
        """Close when everything is written."""
        self._flush()
        self._transport.close()

    def _go_ahead(self) -> None:
        # uvloop raises where anything is written to a connection that was lost in this very turn.
        if self._transport.is_closing():
            self._head = b""
        self._flush()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)
