"""What a connection may cost before the application hears of it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from image_similarity.api import bounded_requests
from image_similarity.api.bounded_requests import MAX_HEAD, MAX_HEAD_FIELDS
from image_similarity.bootstrap.http_protocol import SingleWriteProtocol
from tests.unit.bootstrap.test_http_protocol import REQUEST, Wire

POST = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n\r\n"
PIECE = b"a" * 65536


class Client(Wire):
    """A transport with an address."""

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else None

    @property
    def answer(self) -> bytes:
        return b"".join(piece for piece in self.noted if isinstance(piece, bytes))

    async def closes(self) -> None:
        while not self.is_closing():  # noqa: ASYNC110 - there is nothing to be told by
            await asyncio.sleep(0.001)


async def app(_scope: Any, receive: Any, send: Any) -> None:
    """Read the body, take a little longer than a head may, answer."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message["more_body"]:
            break
    await asyncio.sleep(2 * bounded_requests.HEAD_SECONDS if bounded_requests.HEAD_SECONDS < 1 else 0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def connected() -> tuple[Client, SingleWriteProtocol]:
    config = uvicorn.Config(app, lifespan="off", log_config=None)
    config.load()
    client, protocol = Client(), SingleWriteProtocol(config, ServerState(), {})
    protocol.connection_made(cast(asyncio.Transport, client))
    return client, protocol


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nX: " + b"a" * (MAX_HEAD + 1) + b"\r\n\r\n",
        b"GET /" + b"a" * (MAX_HEAD + 1) + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * (MAX_HEAD_FIELDS + 1) + b"\r\n",
        b"GET / HTTP/1.1\r\n" + (b"X: " + b"a" * 20_000 + b"\r\n") * 4 + b"\r\n",
    ],
    ids=["one field", "the line", "many fields", "long fields"],
)
@pytest.mark.parametrize("size", [1000, 10**9])
async def test_a_head_beyond_the_limits_is_refused(head: bytes, size: int) -> None:
    client, protocol = connected()
    for start in range(0, len(head), size):
        protocol.data_received(head[start : start + size])
    assert client.answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in client.answer
    assert client.answer.count(b"HTTP/1.1") == 1
    assert client.is_closing()
    protocol.connection_lost(None)


@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\r\nX: ",
        b"GET /",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: ",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;",
    ],
    ids=["a field", "the line", "a trailer", "an extension of a chunk"],
)
async def test_what_never_ends_is_not_read_on(start: bytes) -> None:
    client, protocol = connected()
    protocol.data_received(start)
    read = 0
    while not client.is_closing() and read < 100:
        protocol.data_received(PIECE)
        read += 1
    assert client.is_closing()
    assert read <= 3
    protocol.connection_lost(None)


async def test_many_small_requests_and_a_long_body_are_no_long_head() -> None:
    client, protocol = connected()
    protocol.data_received(REQUEST * 3000)
    assert not client.is_closing()
    protocol.connection_lost(None)
    client, protocol = connected()
    protocol.data_received(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(30):
        protocol.data_received(b"1\r\na\r\n" * 1000)
    protocol.data_received(b"0\r\n\r\n")
    while b"200 OK" not in client.answer:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert not client.is_closing()
    protocol.connection_lost(None)


async def test_heads_have_a_time_limit_and_answers_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_requests, "HEAD_SECONDS", 0.02)
    client, protocol = connected()
    await client.closes()
    assert client.noted == ["closed"]
    protocol.connection_lost(None)

    client, protocol = connected()
    protocol.data_received(REQUEST)
    while b"200 OK" not in client.answer:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert not client.is_closing()
    protocol.data_received(REQUEST[:5])
    await client.closes()
    assert b"HTTP/1.1 408 " in client.answer
    protocol.connection_lost(None)


async def test_bodies_have_a_least_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_requests, "HEAD_SECONDS", 0.02)
    monkeypatch.setattr(bounded_requests, "BODY_SECONDS", 0.02)
    monkeypatch.setattr(bounded_requests, "BODY_BYTES", 1000)
    client, protocol = connected()
    protocol.data_received(POST + b"a" * 10)
    await client.closes()
    assert b"HTTP/1.1 408 " in client.answer
    assert b"body_too_slow" in client.answer
    protocol.connection_lost(None)


async def test_a_body_that_the_application_does_not_read_is_not_too_slow() -> None:
    client, protocol = connected()
    protocol.data_received(POST)
    protocol.flow.pause_reading()
    protocol._deadline = 0.0
    protocol._check_time()
    assert not client.is_closing()
    protocol.flow.resume_reading()
    protocol._deadline = 0.0
    protocol._check_time()
    assert client.is_closing()
    protocol.connection_lost(None)


async def test_an_address_has_so_many_connections_and_more_when_it_closes_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_requests, "MAX_CONNECTIONS", 3)
    opened = [connected() for _ in range(3)]
    assert not any(client.is_closing() for client, _ in opened)
    refused, over = connected()
    assert refused.answer.startswith(b"HTTP/1.1 503 ")
    assert refused.is_closing()
    over.connection_lost(None)
    opened.pop()[1].connection_lost(None)
    again, protocol = connected()
    assert not again.is_closing()
    for one in (protocol, *(protocol for _, protocol in opened)):
        one.connection_lost(None)
    assert not bounded_requests._connections
