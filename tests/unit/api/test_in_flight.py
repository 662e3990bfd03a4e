"""What bodies and answers hold together is bounded, and is let go of on every way out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from image_similarity.api import bounded_requests
from image_similarity.api.in_flight import EXEMPT, PIECE, Budget, BytesInFlightMiddleware
from image_similarity.api.limit_body import BodyLimits
from image_similarity.bootstrap.http_protocol import SingleWriteProtocol
from image_similarity.domain.errors import BodyTooLarge, TooMuchInFlight
from image_similarity.telemetry.metrics import Metrics

LIMIT = 1_000_000
UPLOADS = "/api/v1/index/batch"

App = Callable[[Any, Any, Any], Awaitable[None]]


class Service:
    """An application behind the budget, asked without a network."""

    def __init__(self, app: App) -> None:
        self.metrics = Metrics()
        self.budget = Budget(LIMIT, self.metrics)
        self._app = BytesInFlightMiddleware(app, self.budget, BodyLimits(500_000, {UPLOADS: 10**9}))

    async def ask(self, *pieces: bytes, path: str = "/", send: Any = None, **headers: str) -> list[Any]:
        sent: list[Any] = []

        async def note(message: Any) -> None:
            sent.append(message)

        coming = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        coming += [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]

        async def receive() -> Any:
            return coming.pop(0)

        fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": path, "headers": fields}
        await self._app(scope, receive, send or note)
        return sent

    def sample(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"image_similarity_{name}")


async def read(receive: Any) -> None:
    while (await receive()).get("more_body"):
        pass


async def answer(send: Any, body: bytes = b"", *, declared: bool = True) -> None:
    head = [(b"content-length", str(len(body)).encode())] if declared else []
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


def problem(sent: Sequence[Any]) -> tuple[int, str, dict[bytes, bytes]]:
    return sent[0]["status"], json.loads(sent[1]["body"])["code"], dict(sent[0]["headers"])


class Busy:
    """Requests of 400,000 bytes that stay until told to go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.service = Service(self)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] in EXEMPT:
            await answer(send)
            return
        await read(receive)
        if scope["path"] == "/stay":
            await self.go.wait()
        await answer(send)

    async def fill(self, **headers: str) -> list[asyncio.Task[list[Any]]]:
        pieces = [bytes(100_000)] * 4
        tasks = [asyncio.ensure_future(self.service.ask(*pieces, path="/stay", **headers)) for _ in range(2)]
        while self.service.budget.held < 800_000:  # noqa: ASYNC110 - there is nothing to be told by
            await asyncio.sleep(0)
        return tasks


@pytest.mark.parametrize("headers", [{"content_length": "400000"}, {}], ids=["declared", "chunked"])
async def test_beyond_the_budget_a_request_is_refused_until_others_have_gone(headers: dict[str, str]) -> None:
    busy = Busy()
    filling = await busy.fill(**headers)
    # The application's own handlers make a problem document of it.
    with pytest.raises(TooMuchInFlight, match="MAX_BYTES_IN_FLIGHT"):
        await busy.service.ask(bytes(400_000), **headers)
    assert busy.service.sample("requests_beyond_bytes_in_flight_total") == 1
    assert busy.service.sample("bytes_in_flight") == 2 * (400_000 + PIECE)
    busy.go.set()
    await asyncio.gather(*filling)
    assert busy.service.sample("bytes_in_flight") == 0
    assert (await busy.service.ask(bytes(400_000), **headers))[0]["status"] == 200


async def test_a_declared_body_is_refused_before_any_of_it_is_read() -> None:
    read_pieces = 0

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        nonlocal read_pieces
        await receive()
        read_pieces += 1

    service = Service(app)
    service.budget.hold(900_000)
    with pytest.raises(TooMuchInFlight):
        await service.ask(b"x", content_length="400000")
    assert read_pieces == 0
    assert service.budget.held == 900_000


async def test_with_nothing_left_requests_get_a_problem_and_probes_an_answer() -> None:
    busy = Busy()
    busy.service.budget.hold(LIMIT)
    status, code, head = problem(await busy.service.ask())
    assert (status, code, head[b"retry-after"]) == (503, "too_much_in_flight", b"1")
    for path in EXEMPT:
        assert (await busy.service.ask(path=path))[0]["status"] == 200
    assert busy.service.budget.held == LIMIT


async def test_a_body_that_never_fits_is_not_told_to_come_again() -> None:
    service = Busy().service
    service.budget.limit = 300_000
    for headers in ({"content_length": "400000"}, {}):
        with pytest.raises(BodyTooLarge, match="there is room for"):
            await service.ask(bytes(400_000), **headers)
    assert service.budget.held == 0


async def test_an_upload_that_goes_to_disk_counts_as_one_image() -> None:
    held = 0

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        nonlocal held
        await read(receive)
        held = service.budget.held
        await answer(send)

    service = Service(app)
    sent = await service.ask(*[bytes(400_000)] * 5, path=UPLOADS, content_type="multipart/form-data; boundary=x")
    assert (sent[0]["status"], held) == (200, 500_000 + PIECE)


async def test_an_answer_is_held_until_the_client_has_taken_it() -> None:
    body = bytes(range(256)) * 2000
    held: list[int] = []
    sent: list[Any] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await answer(send, body)

    async def slow(message: Any) -> None:
        held.append(service.budget.held)
        sent.append(message)

    service = Service(app)
    await service.ask(send=slow)
    assert set(held) == {len(body)}
    pieces = sent[1:]
    assert b"".join(piece["body"] for piece in pieces) == body
    assert max(len(piece["body"]) for piece in pieces) <= PIECE
    assert [piece.get("more_body", False) for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert service.budget.held == 0


async def test_an_answer_for_which_there_is_no_room_is_refused_before_it_begins() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await answer(send, bytes(500_000))

    service = Service(app)
    service.budget.hold(600_000)
    sent = await service.ask()
    assert problem(sent)[:2] == (503, "too_much_in_flight")
    assert len(sent) == 2
    service.budget.limit = 400_000
    service.budget.hold(-600_000)
    assert problem(await service.ask())[:2] == (422, "answer_too_large")


async def test_a_stream_counts_by_its_largest_piece() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(5):
            await send({"type": "http.response.body", "body": bytes(300_000), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def look(_message: Any) -> None:
        most.append(service.budget.held)

    most: list[int] = []
    service = Service(app)
    await service.ask(send=look)
    assert (max(most), service.budget.held) == (300_000, 0)


@pytest.mark.parametrize("how", ["error", "cancelled", "cannot be sent"])
async def test_every_way_out_lets_go(how: str) -> None:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await read(receive)
        if how == "error":
            raise RuntimeError
        if how == "cancelled":
            await asyncio.sleep(3600)
        await answer(send, bytes(200_000))

    async def broken(_message: Any) -> None:
        raise OSError

    service = Service(app)
    task = asyncio.ensure_future(service.ask(bytes(100_000), send=broken))
    while how == "cancelled" and service.budget.held < 100_000:  # noqa: ASYNC110
        await asyncio.sleep(0)
    if how == "cancelled":
        task.cancel()
    await asyncio.wait((task,))
    assert service.budget.held == 0


@pytest.mark.parametrize("reads", [True, False])
async def test_a_client_that_does_not_read_its_answer_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, *, reads: bool
) -> None:
    monkeypatch.setattr(bounded_requests, "ANSWER_SECONDS", 0.2 if not reads else 3600)
    body = bytes(20_000_000)

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await answer(send, body)

    budget = Budget(2 * len(body), Metrics())
    counted = BytesInFlightMiddleware(app, budget, BodyLimits(0, {}))
    config = uvicorn.Config(counted, lifespan="off", log_config=None)
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: SingleWriteProtocol(config, ServerState(), {}), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        while not budget.held:  # noqa: ASYNC110 - there is nothing to be told by
            await asyncio.sleep(0)
        if reads:
            assert (await reader.read()).endswith(body)
        while budget.held:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        writer.close()
