"""A collection whose shards are not active yet is waited for; any other failure with the same status is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient
from structlog.testing import capture_logs

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.vectors.qdrant_server.client import ATTEMPTS, QdrantCalls
from image_similarity.vectors.qdrant_server.nodes import Connection
from tests.support.fake_http_server import Answer, FakeHttpServer, fake_http_server

COUNTED: Answer = (200, {"result": {"count": 7}, "status": "ok", "time": 0.1})
FAILED: Answer = (500, {"status": {"error": "Service internal error: 0 of 0 read operations failed"}, "time": 0.0})


def placed(*states: str) -> Answer:
    """Return what Qdrant says of a collection with a copy of each shard here and one elsewhere, in the same state."""
    local = [{"shard_id": shard, "points_count": 0, "state": state} for shard, state in enumerate(states)]
    remote = [{"shard_id": shard, "peer_id": 2, "state": state} for shard, state in enumerate(states)]
    cluster = {"peer_id": 1, "shard_count": len(states), "local_shards": local, "remote_shards": remote}
    return 200, {"result": {**cluster, "shard_transfers": []}, "status": "ok", "time": 0.0}


class Collection:
    """Is active after `looks` looks at its shards; until then it counts nothing."""

    def __init__(self, looks: float, *, while_settling: Answer, afterwards: Answer = COUNTED) -> None:
        self.server: FakeHttpServer | None = None
        self.looks = looks
        self._while_settling, self._afterwards = while_settling, afterwards

    def __call__(self, number: int) -> Answer:
        assert self.server is not None
        if "/cluster" in self.server.asked[number]:
            self.looks -= 1
            return self._while_settling if self.looks >= 0 else placed("Active", "Active", "Active")
        return FAILED if self.looks > 0 else self._afterwards


async def count(answers: Collection, *, callers: int = 1, within: float = 60) -> tuple[list[Any], list[str]]:
    """Return what each caller was answered, and the lines that were logged meanwhile."""
    async with fake_http_server(answers) as server:
        answers.server = server
        calls = QdrantCalls(Connection(server.url, prefer_grpc=False, settle_seconds=within), "photos")

        def ask(client: AsyncQdrantClient) -> Any:
            return client.count("photos", exact=True)

        try:
            with capture_logs() as events:
                found = await asyncio.gather(*(calls.run(ask) for _ in range(callers)), return_exceptions=True)
        finally:
            await calls.close()
    lines = [event["event"] for event in events if event["log_level"] != "debug"]
    return found, [line for line in lines if line.startswith("collection_")]


@pytest.mark.parametrize("state", ["Initializing", "Partial", "Recovery", "Dead"])
async def test_a_call_waits_until_every_shard_has_an_active_copy(state: str) -> None:
    [found], lines = await count(Collection(2, while_settling=placed("Active", state, "Active")))
    assert found.count == 7
    assert lines == ["collection_settling", "collection_settled"]


async def test_many_calls_wait_together_with_one_line() -> None:
    found, lines = await count(Collection(4, while_settling=placed("Initializing")), callers=20)
    assert [answer.count for answer in found] == [7] * 20
    assert lines.count("collection_settling") == 1


async def test_the_wait_has_an_end_and_the_error_names_the_shards() -> None:
    never = Collection(float("inf"), while_settling=placed("Active", "Initializing", "Dead"))
    [failure], lines = await count(never, within=0.5)
    assert isinstance(failure, StoreUnavailable)
    assert "no copy is active of shard 1, 2" in str(failure)
    assert lines == ["collection_settling", "collection_still_settling"]


async def test_the_same_error_of_an_active_collection_is_not_waited_for() -> None:
    broken = Collection(1, while_settling=placed("Active", "Active"), afterwards=FAILED)
    [failure], lines = await count(broken)
    assert isinstance(failure, StoreUnavailable)
    assert lines == []
    assert broken.server is not None
    assert sum("count" in path for path in broken.server.asked) == ATTEMPTS


async def test_a_server_that_tells_no_state_is_not_waited_for() -> None:
    [failure], lines = await count(Collection(9, while_settling=(404, {"status": {"error": "no"}, "time": 0.0})))
    assert isinstance(failure, StoreUnavailable)
    assert lines == []
