"""What uvicorn writes for one answer reaches the kernel as one piece."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
import uvicorn
import uvloop
from uvicorn.server import ServerState

from image_similarity.bootstrap.http_protocol import LONG_BYTES, BufferedHeadTransport, SingleWriteProtocol

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Wire:
    """A transport that notes what it is given."""

    def __init__(self) -> None:
        self.noted: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.noted.append(data)

    def close(self) -> None:
        if not self.is_closing():
            self.noted.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.noted

    def get_extra_info(self, name: str) -> None:
        return None

    def pause_reading(self) -> None:
        """Nothing comes by itself."""

    def resume_reading(self) -> None:
        """Nothing comes by itself."""


def connected(app: Any) -> tuple[Wire, SingleWriteProtocol]:
    config = uvicorn.Config(app, lifespan="off", log_config=None)
    config.load()
    wire, protocol = Wire(), SingleWriteProtocol(config, ServerState(), {})
    protocol.connection_made(cast(asyncio.Transport, wire))
    return wire, protocol


async def start(send: Send, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def part(send: Send, body: bytes, *, more: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def pieces_of(answer: Callable[[Send], Awaitable[None]], request: bytes = REQUEST) -> list[Any]:
    """Return what the connection was given for one request, which `answer` answered."""
    done = asyncio.Event()

    async def app(_scope: Any, _receive: Any, send: Send) -> None:
        await answer(send)
        done.set()

    wire, protocol = connected(app)
    protocol.data_received(request)
    await done.wait()
    await asyncio.sleep(0)
    pieces = wire.noted.copy()
    protocol.connection_lost(None)
    return pieces


async def test_head_and_body_are_one_piece():
    async def answer(send: Send) -> None:
        await start(send, (b"content-length", b"5"))
        await part(send, b"hello")

    (whole,) = await pieces_of(answer)
    assert whole.startswith(b"HTTP/1.1 200 OK\r\n")
    assert whole.endswith(b"\r\n\r\nhello")


async def test_parts_written_later_follow_by_themselves():
    async def answer(send: Send) -> None:
        await start(send, (b"content-length", b"6"))
        await part(send, b"now", more=True)
        await asyncio.sleep(0.01)
        await part(send, b"new")

    first, second = await pieces_of(answer)
    assert first.endswith(b"now")
    assert second == b"new"


async def test_head_whose_body_takes_its_time_goes_ahead():
    async def answer(send: Send) -> None:
        await start(send, (b"content-length", b"5"))
        await asyncio.sleep(0.01)
        await part(send, b"hello")

    head, body = await pieces_of(answer)
    assert head.endswith(b"\r\n\r\n")
    assert body == b"hello"


async def test_long_bodies_are_not_copied():
    body = bytes(LONG_BYTES)

    async def answer(send: Send) -> None:
        await start(send, (b"content-length", str(LONG_BYTES).encode()))
        await part(send, body)

    head, written = await pieces_of(answer)
    assert head.endswith(b"\r\n\r\n")
    assert written is body


async def test_connection_that_closes_closes_after_the_answer():
    async def answer(send: Send) -> None:
        await start(send, (b"content-length", b"5"))
        await part(send, b"hello")

    whole, closed = await pieces_of(answer, REQUEST.replace(b"Host", b"Connection: close\r\nHost"))
    assert whole.endswith(b"hello")
    assert closed == "closed"


async def test_request_that_is_no_http_is_told_so_before_the_end():
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError

    wire, protocol = connected(app)
    protocol.data_received(b"no HTTP at all\r\n\r\n")
    protocol.connection_lost(None)
    refusal, closed = wire.noted
    assert refusal.startswith(b"HTTP/1.1 400")
    assert closed == "closed"


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_head_whose_connection_is_lost_in_the_same_turn_is_dropped(loop_factory):
    async def fail() -> list[Any]:
        failures: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: failures.append(context))
        accepted = loop.create_future()
        server = await asyncio.start_server(lambda _reader, writer: accepted.set_result(writer), "127.0.0.1", 0)
        _, client = await asyncio.open_connection(*server.sockets[0].getsockname())
        transport = (await accepted).transport
        transport.abort()
        BufferedHeadTransport(transport, loop).write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(3):
            await asyncio.sleep(0)
        client.close()
        server.close()
        return failures

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(fail()) == []


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_works_on_either_event_loop(loop_factory):
    """Through a real socket, where each loop has a transport of its own."""

    async def app(_scope: Any, _receive: Any, send: Send) -> None:
        await start(send, (b"content-length", b"5"))
        await part(send, b"hello")

    async def ask() -> bytes:
        config = uvicorn.Config(app, port=0, lifespan="off", log_config=None, http=SingleWriteProtocol)
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server._serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
        answers = b""
        for _ in range(50):
            writer.write(REQUEST)
            first = await reader.read(65536)
            assert first.endswith(b"hello"), "the first piece is the whole"
            answers += first
        writer.close()
        server.should_exit = True
        await serving
        return answers

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(ask()).count(b"hello") == 50
