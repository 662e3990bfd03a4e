"""HTTP at the lowest cost, because the clients share the processor with the server that they measure."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import cast

import httptools

from load_test.target import Target


@dataclass(frozen=True)
class Answer:
    """An answer of the server."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """A persistent connection; one request at a time, without redirects, retries or compression."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._answer: asyncio.Future[Answer] | None = None
        self.usable = True
        """Whether it can take another request."""

    @classmethod
    async def open(cls, target: Target) -> Connection:
        """Connect; raises OSError."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            cls, target.address, target.port, ssl=target.tls, server_hostname=target.name
        )
        return connection

    async def ask(self, head: bytes, *body: bytes) -> Answer:
        """Send a request and return the answer. Raises ConnectionError if the connection ends before the answer."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("connection closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.writelines([head, *body])
        return await self._answer

    def close(self) -> None:
        """Close the connection, and drop its current request."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        # uvloop's transports have the methods of asyncio.Transport, but are not one.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:  # noqa: D102
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionError(f"not HTTP: {error}"))
            self.close()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: D102
        self._fail(ConnectionResetError("connection reset" if error else "connection closed"))

    # Called by the parser.

    def on_body(self, body: bytes) -> None:  # noqa: D102
        self._body.append(body)

    def on_message_complete(self) -> None:  # noqa: D102
        answer = Answer(self._parser.get_status_code(), b"".join(self._body))
        self.usable = self._parser.should_keep_alive()
        # A new parser per answer, so that the rest of one answer cannot affect the next.
        self._parser, self._body = httptools.HttpResponseParser(self), []
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)
        if not self.usable:
            self.close()

    def _fail(self, error: Exception) -> None:
        self.usable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
