"""The server's port is taken first, and whoever has it is named."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from fastapi import FastAPI

from image_similarity.bootstrap.listening import bind
from image_similarity.bootstrap.server import _Server
from image_similarity.domain.errors import InvalidRequest


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_that_is_taken_is_told_of_with_the_program_that_has_it(taken: int) -> None:
    with pytest.raises(InvalidRequest, match=f"Port {taken} is taken, by .*--port") as caught:
        bind("127.0.0.1", taken)
    if sys.platform == "linux":
        assert f"(pid {os.getpid()})" in str(caught.value)


def test_an_address_that_is_not_of_this_machine_is_told_of() -> None:
    with pytest.raises(InvalidRequest, match=r"203\.0\.113\.1 is no address of this machine"):
        bind("203.0.113.1", 0)


def test_a_free_port_is_had_but_nobody_is_kept_waiting_on_it() -> None:
    [bound] = bind("127.0.0.1", 0)
    with bound, pytest.raises(ConnectionRefusedError):
        socket.create_connection(bound.getsockname(), timeout=5).close()


class Serving:
    """A server of nothing, and what has happened to it."""

    def __init__(self, port: int) -> None:
        self.urls: list[str] = []
        self.closed = False

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            yield
            self.closed = True

        app = FastAPI(lifespan=lifespan)
        app.state.lost = None
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None)
        self.server = _Server(config, app, 0, None, self.urls.append)


async def test_the_url_is_told_once_the_server_answers() -> None:
    [bound] = bind("127.0.0.1", 0)
    port = bound.getsockname()[1]
    serving = Serving(0)
    running = asyncio.create_task(serving.server.serve([bound]))
    while not serving.urls and not running.done():  # noqa: ASYNC110 - uvicorn offers no event
        await asyncio.sleep(0.01)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    serving.server.should_exit = True
    await running
    assert serving.urls == [f"http://127.0.0.1:{port}"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the second one cannot bind")
async def test_of_two_servers_that_start_together_the_later_says_why_it_ends() -> None:
    [first] = bind("127.0.0.1", 0)
    port = first.getsockname()[1]
    [second] = bind("127.0.0.1", port)
    first.listen()
    serving = Serving(port)
    with first, second, pytest.raises(InvalidRequest, match=f"Port {port} is taken"):
        await serving.server.serve([second])
    assert serving.closed
    assert serving.urls == []
