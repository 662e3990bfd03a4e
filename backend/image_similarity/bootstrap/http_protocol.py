"""Send the head and the body of an answer in one write.

uvicorn writes an answer's head and then its body: two system calls and two packets. If a replica is killed between
them, the client gets half an answer, which a balancer cannot retry. If it is killed before the first byte, the balancer
retries the request on another replica.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from image_similarity.api.bounded_requests import BoundedRequests

LONG_BYTES = 65536
"""From this size on, a copy of the body is not worth it: the kernel takes it in several pieces in any case."""


class SingleWriteProtocol(BoundedRequests):
    """uvicorn's HTTP protocol on a `BufferedHeadTransport`; for `uvicorn.Config(http=...)`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop for each connection."""
        joining = BufferedHeadTransport(cast(asyncio.Transport, transport), asyncio.get_running_loop())
        super().connection_made(cast(asyncio.Transport, joining))


class BufferedHeadTransport:
    """Holds an answer's head until the next write in the same turn of the event loop; forwards all other calls."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold a head; write anything else at once, after the held head."""
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
        # uvloop raises an error on a write to a connection that was lost in this turn.
        if self._transport.is_closing():
            self._head = b""
        self._flush()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)
