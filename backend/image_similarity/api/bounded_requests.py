"""Limits per connection, applied before the application sees a request: bytes, fields, seconds, and connections.

Without them, the HTTP parser accepts heads of any length and copies a whole field for each further piece of it, and
uvicorn waits for heads and bodies without a time limit.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, cast

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from image_similarity.telemetry.logging import get_logger

MAX_HEAD = 65536
"""Bytes of a request's line and header fields."""

MAX_HEAD_FIELDS = 100

HEAD_SECONDS = 10.0
"""From a request's first byte, or from the start of the connection, until its head is complete."""

BODY_SECONDS = 30.0
"""In each such span, a client that sends a body must send BODY_BYTES of it."""

BODY_BYTES = 30_000
"""1 kB per second, far below the speed of any mobile network."""

ANSWER_SECONDS = 30.0
"""In each such span, a client must read the part of its answer that is waiting, about 50 kB."""

MAX_CONNECTIONS = 512
"""Per address. A balancer has one address and sends up to 256 requests at a time; many systems allow a process 1,024
descriptors."""

_connections: Counter[str] = Counter()


class BoundedRequests(HttpToolsProtocol):
    """uvicorn's HTTP protocol with the limits above; beyond them it answers with a problem document and closes."""

    _address = ""
    _loose = 0
    """Bytes received since the last ones that ended a head or belonged to a body."""
    _head_bytes = 0
    _advanced = False
    _refused = False
    _deadline: float | None = None
    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _in_body = False
    _body_bytes = 0
    """Bytes of the body since the deadline was set."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop for each connection."""
        super().connection_made(cast(asyncio.Transport, transport))
        self._address = self.client[0] if self.client else ""
        _connections[self._address] += 1
        if _connections[self._address] > MAX_CONNECTIONS and self._address:
            if _connections[self._address] == MAX_CONNECTIONS + 1:
                get_logger().warning("too_many_connections", client=self._address, limit=MAX_CONNECTIONS)
            self._refuse(503, "overloaded", f"This address has {MAX_CONNECTIONS} connections; close some of them.")
            return
        self._wait(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop at each connection's end."""
        _connections[self._address] -= 1
        if _connections[self._address] <= 0:
            del _connections[self._address]
        self._deadline = None
        for timer in (self._timer, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Called by the transport when the client does not read as fast as the answer is written."""
        super().pause_writing()
        self._unread = self.loop.call_later(ANSWER_SECONDS, self._hang_up)

    def resume_writing(self) -> None:
        """Called by the transport when the client has read almost all of the answer."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop for each piece of a request."""
        if self._refused:
            return
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._wait(HEAD_SECONDS)
        self._advanced = False
        super().data_received(data)
        self._loose = 0 if self._advanced else self._loose + len(data)
        if self._loose > MAX_HEAD and not self._refused:
            self._refuse_head()

    def on_message_begin(self) -> None:
        """Called by the parser at a request's beginning."""
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Called by the parser for each piece of the URL."""
        super().on_url(url)
        if len(self.url) > MAX_HEAD:
            self._refuse_head()
            raise ValueError("the URL is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser for each field, also for trailers after a body."""
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value)
        if len(self.headers) > MAX_HEAD_FIELDS or self._head_bytes > MAX_HEAD:
            self._refuse_head()
            raise ValueError("the head is too long")

    def on_headers_complete(self) -> None:
        """Called by the parser at a head's end."""
        self._advanced = True
        self._in_body = True
        self._wait(BODY_SECONDS)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Called by the parser for each piece of a body."""
        self._advanced = True
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Called by the parser at a request's end."""
        self._in_body = False
        self._deadline = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Called by uvicorn at an answer's end."""
        super().on_response_complete()
        # A piece of the next head arrived while this request was answered.
        if self._loose and self._deadline is None:
            self._wait(HEAD_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for bytes that are no HTTP, and for requests that were refused and answered above."""
        if not self._refused:
            super().send_400_response(msg)

    def _wait(self, seconds: float) -> None:
        self._deadline = self.loop.time() + seconds
        self._body_bytes = 0
        if self._timer is None:
            self._timer = self.loop.call_later(seconds, self._check_time)
        # A running timer is not replaced: when it fires, `_check_time` compares the time with the new deadline.

    def _check_time(self) -> None:
        self._timer = None
        if self._deadline is None or self.transport.is_closing():
            return
        if (left := self._deadline - self.loop.time()) > 0:
            self._timer = self.loop.call_later(left, self._check_time)
        elif self._in_body and (self.flow.read_paused or self._body_bytes >= BODY_BYTES):
            # The application reads slowly, which is not the client's fault; or the body arrives fast enough.
            self._wait(BODY_SECONDS)
        elif self._in_body:
            self._refuse(408, "body_too_slow", f"Less than {BODY_BYTES} bytes of the body came in {BODY_SECONDS:g} s.")
        else:
            self._refuse(408, "head_too_slow", f"The head of the request did not come within {HEAD_SECONDS:g} s.")

    def _hang_up(self) -> None:
        get_logger().warning("answer_not_read", client=self._address, seconds=ANSWER_SECONDS)
        # The unwritten rest is dropped; the sender gets the error that the client has disconnected.
        self.transport.abort()

    def _refuse_head(self) -> None:
        limits = f"at most {MAX_HEAD} bytes and {MAX_HEAD_FIELDS} fields"
        self._refuse(431, "head_too_large", f"The head of the request is too large; it has {limits}.")

    def _refuse(self, status: int, code: str, detail: str) -> None:
        self._refused = True
        answered = self.cycle is not None and not self.cycle.response_complete and self.cycle.response_started
        # A connection that never sent a byte is closed without an answer.
        if not answered and (self._loose or self._in_body or status != 408):
            self.transport.write(_answer(status, code, detail))
        self.transport.close()


def _answer(status: int, code: str, detail: str) -> bytes:
    title = {408: "Request Timeout", 431: "Request Header Fields Too Large", 503: "Not available right now"}[status]
    problem: dict[str, Any] = {"type": f"about:blank#{code}", "title": title, "status": status, "detail": detail}
    body = orjson.dumps(problem | {"code": code})
    head = f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n".encode() + body
