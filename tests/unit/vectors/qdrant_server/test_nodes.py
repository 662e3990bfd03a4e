"""Several nodes of one Qdrant cluster: which one a call goes to, and what happens to it if that one does not answer."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient
from structlog.testing import capture_logs

from image_similarity.domain.errors import StoreUnavailable, WriteOutcomeUnknown
from image_similarity.vectors.qdrant_server import (
    addresses as qdrant_addresses,
)
from image_similarity.vectors.qdrant_server import (
    client as qdrant_calls,
)
from image_similarity.vectors.qdrant_server import (
    nodes as qdrant_nodes,
)
from image_similarity.vectors.qdrant_server.addresses import Address, read_addresses
from image_similarity.vectors.qdrant_server.client import QdrantCalls
from image_similarity.vectors.qdrant_server.nodes import Connection
from tests.support.fake_http_server import Answer, FakeHttpServer, fake_http_server
from tests.support.servers import PATIENCE, free_port

COUNTED: Answer = (200, {"result": {"count": 7}, "status": "ok", "time": 0.1})
WRITTEN: Answer = (200, {"result": {"operation_id": 1, "status": "completed"}, "status": "ok", "time": 0.0})
INFO: Answer = (200, {"title": "qdrant", "version": "1.20.0"})
COUNT, DELETE, PROBE = "POST /collections/photos/points/count", "POST /collections/photos/points/delete", "GET /"


def failed(status: int) -> Answer:
    return status, {"status": {"error": "no"}, "time": 0.0}


class Cluster:
    """FakeHttpServer nodes; `answers` says what each answers to a count or a delete, after `delays` seconds."""

    def __init__(self) -> None:
        self.nodes: list[FakeHttpServer] = []

    @property
    def url(self) -> str:
        return ",".join(node.url for node in self.nodes)

    def asked(self, what: str) -> list[int]:
        return [sum(path.startswith(what) for path in node.asked) for node in self.nodes]


@asynccontextmanager
async def cluster(*answers: Callable[[], Answer], delays: tuple[float, ...] = ()) -> AsyncIterator[Cluster]:
    made = Cluster()
    async with AsyncExitStack() as stack:
        for number, answer in enumerate(answers):

            def reply(_: int, number: int = number, answer: Callable[[], Answer] = answer) -> Answer:
                return INFO if made.nodes[number].asked[-1] == PROBE else answer()

            delay = delays[number] if delays else 0
            made.nodes.append(await stack.enter_async_context(fake_http_server(reply, delay=delay)))
        yield made


@asynccontextmanager
async def calling(url: str, **settings: Any) -> AsyncIterator[QdrantCalls]:
    calls = QdrantCalls(Connection(url, prefer_grpc=False, **settings), "photos")
    try:
        yield calls
    finally:
        await calls.close()


def count(client: AsyncQdrantClient) -> Any:
    return client.count("photos", exact=True)


def delete(client: AsyncQdrantClient) -> Any:
    return client.delete("photos", [1], wait=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another task's sockets
            await asyncio.sleep(0.01)


async def test_calls_take_turns_over_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant_calls, "HEDGE_SECONDS", PATIENCE)
    async with cluster(*[lambda: COUNTED] * 3) as nodes, calling(nodes.url) as calls:
        for _ in range(12):
            await calls.run(count)
    assert nodes.asked(COUNT) == [4, 4, 4]
    async with cluster(*[lambda: WRITTEN] * 2) as nodes, calling(nodes.url) as calls:
        for _ in range(6):
            await calls.write(delete)
    assert nodes.asked(DELETE) == [3, 3]


async def test_a_node_that_is_gone_costs_calls_nothing_and_is_tried_once() -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    async with cluster(lambda: COUNTED) as nodes, calling(f"{gone},{nodes.url}") as calls:
        with capture_logs() as events:
            for _ in range(6):
                assert (await calls.run(count)).count == 7
    suspected = [event["node"] for event in events if event["event"] == "qdrant_node_suspected"]
    assert suspected == [gone]


async def test_a_silent_node_is_overtaken_and_then_left_alone_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    # Long enough for the living node to answer on a busy machine: only the frozen one is overtaken.
    monkeypatch.setattr(qdrant_calls, "HEDGE_SECONDS", 2.0)
    monkeypatch.setattr(qdrant_nodes, "PROBE_TIMEOUT", 0.2)
    async with cluster(lambda: COUNTED, lambda: COUNTED, delays=(PATIENCE, 0)) as nodes, calling(nodes.url) as calls:
        for _ in range(8):
            assert (await calls.run(count)).count == 7
        frozen, living = nodes.asked(COUNT)
        assert frozen <= 1, "only the first call that met it waits"
        assert living == 8
        await until(lambda: nodes.asked(PROBE)[0] > 1)


async def test_a_suspected_node_that_answers_its_probe_is_used_again() -> None:
    answers = iter([failed(200), *[COUNTED] * 20])

    def first() -> Answer:
        # Closes the first connection without a word.
        return None if next(answers) == failed(200) else COUNTED

    async with cluster(first, lambda: COUNTED) as nodes, calling(nodes.url) as calls:
        with capture_logs() as events:
            await calls.run(count)
            await calls.run(count)
            await until(lambda: any(event["event"] == "qdrant_node_answers" for event in events))
            before = nodes.asked(COUNT)[0]
            await calls.run(count)
            await calls.run(count)
    assert nodes.asked(COUNT)[0] > before


async def test_no_more_than_a_few_reads_are_sent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant_calls, "HEDGE_SECONDS", 0.05)
    monkeypatch.setattr(qdrant_calls, "MAX_HEDGES", 2)
    async with cluster(lambda: COUNTED, lambda: COUNTED, delays=(0.5, 0.5)) as nodes, calling(nodes.url) as calls:
        await asyncio.gather(*(calls.run(count) for _ in range(10)))
    assert sum(nodes.asked(COUNT)) <= 10 + 2 * 2 + 2


async def test_a_failing_read_is_tried_on_another_node() -> None:
    async with cluster(lambda: failed(500), lambda: COUNTED) as nodes, calling(nodes.url) as calls:
        for _ in range(4):
            assert (await calls.run(count)).count == 7


async def test_a_node_that_does_not_know_the_collection_yet_is_passed_over() -> None:
    async with cluster(lambda: failed(404), lambda: COUNTED) as nodes, calling(nodes.url) as calls:
        for _ in range(4):
            assert (await calls.run(count)).count == 7


async def test_a_write_that_never_reached_a_node_is_made_on_another() -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    async with cluster(lambda: WRITTEN) as nodes, calling(f"{gone},{nodes.url}") as calls:
        written = [await calls.write(delete) for _ in range(4)]
    assert not any(write.abandoned for write in written)


@pytest.mark.parametrize("first", [None, failed(500), failed(503), failed(408)])
async def test_a_write_whose_first_attempt_may_still_land_says_so(first: Answer) -> None:
    async with cluster(lambda: first, lambda: WRITTEN) as nodes, calling(nodes.url) as calls:
        written = [await calls.write(delete) for _ in range(2)]
        met = nodes.asked(DELETE)[0]
    assert met
    assert any(write.abandoned for write in written)
    assert all(write.answer.status == "completed" for write in written)


async def test_a_write_is_given_up_on_a_silent_node_and_tried_on_another() -> None:
    async with (
        cluster(lambda: WRITTEN, lambda: WRITTEN, delays=(PATIENCE, 0)) as nodes,
        calling(nodes.url, timeout=0.3) as calls,
    ):
        written = [await calls.write(delete) for _ in range(2)]
    assert [write.abandoned for write in written].count(True) == 1
    assert nodes.asked(DELETE) == [1, 2]


@pytest.mark.parametrize("answer", [None, failed(500), failed(503)])
async def test_a_write_that_may_have_been_done_is_told_from_one_that_was_not(answer: Answer) -> None:
    async with cluster(lambda: answer) as nodes, calling(nodes.url) as calls:
        with pytest.raises(WriteOutcomeUnknown, match="repeating it is safe"):
            await calls.write(delete)
    async with cluster(lambda: failed(400)) as nodes, calling(nodes.url) as calls:
        with pytest.raises(StoreUnavailable) as refused:
            await calls.write(delete)
    assert not isinstance(refused.value, WriteOutcomeUnknown)


@pytest.mark.parametrize("grpc", [False, True], ids=["rest", "grpc"])
async def test_a_write_to_nobody_was_certainly_not_done(grpc: bool) -> None:
    connection = Connection(f"http://127.0.0.1:{free_port()}", grpc_port=free_port(), prefer_grpc=grpc)
    calls = QdrantCalls(connection, "photos")
    with pytest.raises(StoreUnavailable) as failure:
        await calls.write(delete)
    await calls.close()
    assert not isinstance(failure.value, WriteOutcomeUnknown)


def test_addresses_are_read_with_their_own_grpc_ports() -> None:
    assert read_addresses("http://a:6333, https://b/qdrant?grpc_port=7334,http://[::1]:1", 6334) == [
        Address("http://a:6333", 6334),
        Address("https://b/qdrant", 7334),
        Address("http://[::1]:1", 6334),
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("", " , ", "qdrant:6333", "ftp://a", "http://", "http://user:secret@a", "http://a?x=1", "http://a#b"),
        *("http://a:0", "http://a:99999", "http://a?grpc_port=0", "http://a?grpc_port=x"),
    ],
)
def test_what_is_no_address_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        read_addresses(text)
    assert "secret" not in str(refused.value)


async def test_each_address_of_a_name_is_a_node_and_the_name_is_sought_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = ["127.0.0.1", "127.0.0.2"]

    async def look_up(_: object, host: str, port: int, **__: object) -> list[Any]:
        assert host == "qdrant-headless"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known]

    monkeypatch.setattr(asyncio.get_running_loop().__class__, "getaddrinfo", look_up)
    monkeypatch.setattr(qdrant_nodes, "RESOLVE_SECONDS", 0)
    nodes = qdrant_nodes.Nodes(Connection("http://qdrant-headless:6333"))
    seen: Counter[str] = Counter()
    for _ in range(4):
        seen[(await nodes.in_order())[0].address.url] += 1
    assert seen == {"http://127.0.0.1:6333": 2, "http://127.0.0.2:6333": 2}

    known[:] = ["127.0.0.2", "127.0.0.3"]
    wanted = {f"http://{address}:6333" for address in known}
    async with asyncio.timeout(PATIENCE):
        while {node.address.url for node in await nodes.in_order()} != wanted:  # noqa: ASYNC110 - which looks it up
            await asyncio.sleep(0)
    await nodes.close()


@pytest.mark.parametrize("url", ["https://qdrant:6333", "http://localhost:6333", "http://10.0.0.7", "http://[::1]:1"])
async def test_other_names_are_left_whole(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_up(*_: object, **__: object) -> list[Any]:
        raise AssertionError("nobody asks")

    monkeypatch.setattr(asyncio.get_running_loop().__class__, "getaddrinfo", look_up)
    assert await qdrant_addresses.expand(Address(url, 6334)) == [Address(url, 6334)]
