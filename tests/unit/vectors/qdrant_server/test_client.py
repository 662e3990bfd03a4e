"""Which failures of a server are tried again, how often, and for how long."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models
from structlog.testing import capture_logs

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.qdrant_server.client import ATTEMPTS, QdrantCalls
from image_similarity.vectors.qdrant_server.failures import TOLD_AT_MOST
from image_similarity.vectors.qdrant_server.nodes import Connection
from image_similarity.vectors.qdrant_server.store import ServerConfig, ServerStore
from tests.support.fake_http_server import Answer, FakeHttpServer, fake_http_server
from tests.support.records import DIMENSION, record, towards

COUNTED: Answer = (200, {"result": {"count": 7}, "status": "ok", "time": 0.1})
META = CollectionMeta("colours", DIMENSION)


def refusal(status: int, reason: str = "no") -> Answer:
    return status, {"status": {"error": reason}, "time": 0.0}


async def count(server: FakeHttpServer, *, limit: float = 5, attempts: int = ATTEMPTS) -> int:
    calls = QdrantCalls(Connection(server.url, prefer_grpc=False, timeout=limit))

    def ask(client: AsyncQdrantClient) -> Any:
        return client.count("photos", exact=True)

    try:
        return (await calls.run(ask, attempts=attempts)).count
    finally:
        await calls.close()


@pytest.mark.parametrize("first", [None, *map(refusal, (408, 429, 500, 502, 503, 504, 507))])
async def test_a_failure_that_passes_is_not_seen(first: Answer) -> None:
    async with fake_http_server(lambda number: COUNTED if number == ATTEMPTS - 1 else first) as server:
        assert await count(server) == 7
    assert len(server.asked) == ATTEMPTS


@pytest.mark.parametrize("answer", [None, refusal(503)])
async def test_attempts_are_bounded(answer: Answer) -> None:
    async with fake_http_server(lambda _: answer) as server:
        with pytest.raises(StoreUnavailable):
            await count(server)
    assert len(server.asked) == ATTEMPTS


@pytest.mark.parametrize("status", [400, 404, 409, 422])
async def test_a_refusal_is_not_asked_again(status: int) -> None:
    async with fake_http_server(lambda _: refusal(status, "Wrong input: so and so")) as server:
        with pytest.raises(StoreUnavailable, match=f"failed: {status} Wrong input: so and so"):
            await count(server)
    assert len(server.asked) == 1


async def test_a_grpc_port_that_nothing_answers_on_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        closed = once.getsockname()[1]
    async with fake_http_server(lambda _: COUNTED) as server:
        calls = QdrantCalls(Connection(server.url, grpc_port=closed, timeout=30))
        try:
            with pytest.raises(StoreUnavailable, match=f"gRPC, on port {closed} .*QDRANT_GRPC_PORT, or QDRANT_PREFER"):
                await calls.run(lambda client: client.count("photos", exact=True), attempts=1)
        finally:
            await calls.close()


async def test_one_attempt_is_one() -> None:
    async with fake_http_server(lambda _: refusal(503)) as server:
        with pytest.raises(StoreUnavailable):
            await count(server, attempts=1)
    assert len(server.asked) == 1


async def test_a_server_that_is_silent_is_given_up_within_the_time_limit() -> None:
    async with fake_http_server(lambda _: COUNTED, delay=3) as server:
        with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.4 s"):
            await count(server, limit=0.4)
    assert len(server.asked) == 1


async def test_the_time_limit_holds_over_all_attempts() -> None:
    async with fake_http_server(lambda _: None, delay=0.3) as server:
        with pytest.raises(StoreUnavailable):
            await count(server, limit=0.5)
    assert len(server.asked) < ATTEMPTS


async def test_an_answer_that_is_not_qdrants_is_a_failure() -> None:
    async with fake_http_server(lambda _: (200, {"hello": "world", "result": {"count": "x"}})) as server:
        with pytest.raises(StoreUnavailable, match="failed"):
            await count(server)


@pytest.mark.parametrize("status", [models.UpdateStatus.ACKNOWLEDGED, models.UpdateStatus.WAIT_TIMEOUT])
async def test_a_write_that_is_only_promised_is_no_success(status: models.UpdateStatus) -> None:
    answer: Answer = (200, {"result": {"operation_id": 1, "status": status.value}, "status": "ok", "time": 0.0})
    async with fake_http_server(lambda _: answer) as server:
        connection = Connection(server.url, prefer_grpc=False)
        store = ServerStore(ServerConfig("photos", connection), META, QdrantCalls(connection))
        with pytest.raises(StoreUnavailable, match=f"did not finish it in time \\({status.value}\\)"):
            await store.upsert([(record("a"), towards(0))])
        await store.close()
    assert server.asked == ["PUT /collections/photos/points?wait=true&ordering=medium"]


async def test_a_cancelled_call_is_cancelled_and_not_repeated() -> None:
    async with fake_http_server(lambda _: COUNTED, delay=2) as server:
        task = asyncio.create_task(count(server))
        while not server.asked:  # noqa: ASYNC110 - shorter than an event through the server
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(server.asked) == 1


SECRET = "10.1.2.3|qdrant-0|:6333|:6335|:6334|fd00:|svc|/qdrant/storage"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Failed to connect to http://qdrant-0.qdrant-headless:6335/, error: transport error", "transport error"),
        ("Service internal error: tonic at http://[fd00::12]:6335/x: refused", "refused"),
        ("error sending request for url (http://10.1.2.3:6333/collections/photos/points)", "error sending request"),
        ("last error: UNKNOWN: ipv4:10.1.2.3:6334: Failed to connect to remote host", "Failed to connect to remote"),
        ("last error: UNKNOWN: ipv6:%5Bfd00::1%5D:6334: Connection refused", "Connection refused"),
        ("peer qdrant-0:6335 at fd00:1:2::3 and [fd00::9]:6335 is silent", "is silent"),
        ("dns error: qdrant-0.qdrant-headless.search.svc.cluster.local not known", "not known"),
        ("dns error: qdrant-0.search.svc not known", "not known"),
        ("No such file: /qdrant/storage/collections/photos/0/segments", "segments"),
        ("http://10.1.2.3:6333", "(address)"),
        ('Wrong input: "metadata.year.month" of 12:30:59 expected dim: 8, got 16', "12:30:59 expected dim: 8, got 16"),
        ('Index required for "metadata.year.month"', '"metadata.year.month"'),
    ],
)
async def test_callers_learn_no_address_of_a_node_and_the_log_has_them_all(said: str, told: str) -> None:
    async with fake_http_server(lambda _: refusal(400, said)) as server:
        with capture_logs() as logs, pytest.raises(StoreUnavailable) as failed:
            await count(server)
    message = str(failed.value)
    assert told in message
    assert re.search(SECRET, message) is None
    assert server.url not in message
    [line] = [line for line in logs if line["event"] == "qdrant_failed"]
    assert (line["url"], line["error"]) == (server.url, f"400 {said}")


@pytest.mark.parametrize("filling", ["a.", "1:", "a-", "[:", "/x", "http://", "1.", "ipv4:", "é"])
async def test_an_endless_text_of_a_node_costs_no_time_and_is_cut(filling: str) -> None:
    async with fake_http_server(lambda _: refusal(400, filling * 100_000)) as server:
        with pytest.raises(StoreUnavailable) as failed:
            await count(server)
    assert len(str(failed.value)) <= 2 * TOLD_AT_MOST
