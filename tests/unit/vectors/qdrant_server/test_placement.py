"""Reading a cluster's placement, changing it step by step, and waiting for its nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from image_similarity.domain.errors import InvalidRequest, StoreUnavailable
from image_similarity.vectors.placement import ACTIVE, Node, Transfer
from image_similarity.vectors.qdrant_server.balance import Balance, Pace, Progress
from image_similarity.vectors.qdrant_server.client import QdrantCalls
from image_similarity.vectors.qdrant_server.nodes import Connection
from image_similarity.vectors.qdrant_server.placement import copies_wanted, read, wait_for_peers
from tests.support.qdrant_cluster import NAME, Moving, QdrantCluster
from tests.support.qdrant_cluster_server import running_cluster

QUICK = Pace(look=0.01, begin=0.5, repair=0.2, away=5, transfer=60)


def on(*nodes: int) -> dict[int, str]:
    return dict.fromkeys(nodes, ACTIVE)


@pytest.fixture
def late() -> Iterator[QdrantCluster]:
    """A collection that was made before two of the three nodes joined."""
    with running_cluster(QdrantCluster({shard: on(1) for shard in range(3)})) as cluster:
        yield cluster


@asynccontextmanager
async def calls_to(cluster: QdrantCluster) -> AsyncIterator[QdrantCalls]:
    calls = QdrantCalls(Connection(cluster.url, prefer_grpc=False))
    try:
        yield calls
    finally:
        await calls.close()


async def balance(cluster: QdrantCluster, pace: Pace = QUICK, **options: Any) -> Balance:
    async with calls_to(cluster) as calls:
        run = Balance(calls, NAME, wanted=cluster.wanted, pace=pace, **options)
        placement = await run.run()
    assert placement.summary().copies_active == sum(cluster.active(shard) for shard in cluster.shards)
    return run


def is_even(cluster: QdrantCluster) -> bool:
    loads = [sum(node in copies for copies in cluster.shards.values()) for node in cluster.nodes - cluster.silent]
    return max(loads) - min(loads) <= 1 and all(set(c.values()) == {ACTIVE} for c in cluster.shards.values())


@pytest.mark.parametrize("telemetry", [True, False], ids=["1.17", "older"])
async def test_a_placement_is_read(telemetry: bool) -> None:
    cluster = QdrantCluster({0: on(1, 2), 1: {2: ACTIVE, 3: "Dead"}}, telemetry=telemetry, silent={3}, looks=99)
    cluster.transfers[1] = Moving(2, 3, sync=False, looks=99)
    with running_cluster(cluster):
        async with calls_to(cluster) as calls:
            found = await read(calls, NAME, await copies_wanted(calls, NAME))
    assert found.nodes == tuple(Node(key, f"http://qdrant-{key}:6335/", key != 3) for key in (1, 2, 3))
    assert (found.shards, found.wanted) == ((0, 1), 2)
    known = {1: 10, 2: 10 if telemetry else None, 3: None}
    assert {(copy.shard, copy.node, copy.state, copy.points) for copy in found.copies} == {
        (shard, node, state, known[node]) for shard, copies in cluster.shards.items() for node, state in copies.items()
    }
    assert found.transfers == (Transfer(1, 2, 3, moves=True, progress="Transferring records (10/30)"),)


async def test_what_a_follower_could_not_send_is_not_believed() -> None:
    with running_cluster(QdrantCluster({0: on(1, 3)}, telemetry=False, silent={3}, leader=2)) as cluster:
        async with calls_to(cluster) as calls:
            assert (await read(calls, NAME, 2)).living == [1, 2, 3]


async def test_a_server_by_itself_is_one_node() -> None:
    with running_cluster(QdrantCluster({0: on(1), 1: on(1)}, nodes={1}, enabled=False)) as cluster:
        async with calls_to(cluster) as calls:
            found = await read(calls, NAME, 1)
            assert found.nodes == (Node(1, cluster.url),)
            assert found.summary().copies_active == 2
            await wait_for_peers(calls, 1, within=0)
            with pytest.raises(StoreUnavailable, match="1 of the 2 nodes"):
                await wait_for_peers(calls, 2, within=0)


async def test_a_shard_without_an_active_copy_does_not_hide_the_rest() -> None:
    with running_cluster(QdrantCluster({0: on(1, 2), 1: {2: "Dead"}})) as cluster:
        async with calls_to(cluster) as calls:
            assert await copies_wanted(calls, NAME) == 2
            assert (await read(calls, NAME, 2)).summary().shards_short == 1


async def test_nodes_are_waited_for_and_told_once() -> None:
    with running_cluster(QdrantCluster({}, nodes={1})) as cluster:
        told: list[list[str]] = []

        def join(nodes: list[str]) -> None:
            told.append(nodes)
            cluster.nodes.add(len(told) + 1)

        async with calls_to(cluster) as calls:
            await wait_for_peers(calls, 3, within=60, on_wait=join)
    assert [len(nodes) for nodes in told] == [1, 2]


async def test_too_few_nodes_are_an_error_that_says_what_to_do() -> None:
    with running_cluster(QdrantCluster({}, nodes={1, 2})) as cluster:
        async with calls_to(cluster) as calls:
            with pytest.raises(StoreUnavailable) as raised:
                await wait_for_peers(calls, 3, within=0.1)
    text = str(raised.value)
    assert "2 of the 3 nodes" in text
    assert "http://qdrant-1:6335/, http://qdrant-2:6335/" in text
    assert "QDRANT_EXPECTED_PEERS" in text


async def test_a_collection_on_one_node_spreads_one_transfer_at_a_time(late: QdrantCluster) -> None:
    seen: list[Progress] = []
    most = 0

    def look() -> None:
        nonlocal most
        most = max(most, len(late.transfers))

    late.on_look = look
    run = await balance(late, on_progress=seen.append)
    assert is_even(late)
    assert all(late.active(shard) == 2 for shard in late.shards)
    assert most == 1
    assert len(run.done) == len(late.asked) == 4
    assert any(progress.detail == "Transferring records (10/30)" for progress in seen)
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)
    asked = list(late.asked)
    assert (await balance(late)).done == []
    assert late.asked == asked


async def test_a_third_copy_goes() -> None:
    with running_cluster(QdrantCluster({0: on(1, 2, 3), 1: on(1, 2, 3), 2: on(1, 2)})) as cluster:
        await balance(cluster)
        assert is_even(cluster)
        assert {cluster.active(shard) for shard in cluster.shards} == {2}
        assert {asked.split()[0] for asked in cluster.asked} == {"drop_replica"}


async def test_a_lost_node_is_replaced_and_leaves() -> None:
    with running_cluster(QdrantCluster({0: on(1, 2), 1: on(2, 3), 2: on(1, 3)}, silent={3})) as cluster:
        await balance(cluster, lost={3})
        assert cluster.nodes == {1, 2}
        assert all(copies == on(1, 2) for copies in cluster.shards.values())
        # Its successor joins, perhaps under the same address.
        cluster.nodes.add(4)
        await balance(cluster)
        assert is_even(cluster)


async def test_a_lost_node_that_comes_back_stays() -> None:
    with running_cluster(QdrantCluster({0: on(1, 2), 1: on(2, 3), 2: on(1, 3)}, silent={3})) as cluster:

        def look() -> None:
            if cluster.asked:
                cluster.silent.clear()

        cluster.on_look = look
        with pytest.raises(InvalidRequest, match="answers again"):
            await balance(cluster, lost={3})
        assert cluster.nodes == {1, 2, 3}


async def test_an_aborted_transfer_is_tried_again(late: QdrantCluster) -> None:
    late.aborting = 2
    await balance(late)
    assert is_even(late)


async def test_a_transfer_that_always_fails_is_an_error(late: QdrantCluster) -> None:
    late.aborting = 99
    with pytest.raises(StoreUnavailable, match="failed 3 times to copy shard 0 from qdrant-1:6335 to qdrant-2:6335"):
        await balance(late)
    assert all(late.active(shard) == 1 for shard in late.shards)


async def test_a_transfer_that_never_ends_is_an_error(late: QdrantCluster) -> None:
    late.stuck = True
    with pytest.raises(StoreUnavailable, match="goes on in Qdrant"):
        await balance(late, Pace(look=0.01, begin=5, repair=0.1, away=5, transfer=0.3))


async def test_a_node_that_goes_silent_in_the_middle_is_gone_around(late: QdrantCluster) -> None:
    def look() -> None:
        if any(moving.target == 2 for moving in late.transfers.values()):
            late.silent.add(2)

    late.on_look = look
    await balance(late)
    assert "abort_transfer" in {asked.split()[0] for asked in late.asked}
    assert all(copies == on(1, 3) for copies in late.shards.values())


async def test_a_cancelled_run_leaves_one_transfer_that_the_next_waits_for(late: QdrantCluster) -> None:
    begun, late.looks = asyncio.Event(), 10
    task = asyncio.create_task(balance(late, on_progress=lambda progress: begun.set() if progress.detail else None))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(late.transfers) == 1
    assert all(late.active(shard) >= 1 for shard in late.shards)
    await balance(late)
    assert is_even(late)
    assert len(late.asked) == 4


async def test_broken_copies_are_left_to_qdrant_for_a_while() -> None:
    with running_cluster(QdrantCluster({0: {1: ACTIVE, 2: "Dead"}}, nodes={1, 2})) as cluster:
        looks = 0

        def look() -> None:
            nonlocal looks
            looks += 1
            if looks == 3:
                cluster.shards[0][2] = ACTIVE

        cluster.on_look = look
        assert (await balance(cluster, Pace(look=0.01, repair=60))).done == []
        assert cluster.asked == []
        cluster.shards[0][2], cluster.on_look = "Dead", lambda: None
        await balance(cluster)
        assert cluster.asked == ["replicate_shard 0 2 1"]


async def test_two_runs_at_once_end_where_one_does(late: QdrantCluster) -> None:
    await asyncio.gather(balance(late), balance(late))
    assert is_even(late)
    assert all(late.active(shard) == 2 for shard in late.shards)


async def test_a_shard_without_an_active_copy_is_left_alone() -> None:
    with running_cluster(QdrantCluster({0: on(1), 1: {2: "Dead"}})) as cluster:
        async with calls_to(cluster) as calls:
            await Balance(calls, NAME, wanted=2, pace=QUICK).run()
        assert cluster.shards[1] == {2: "Dead"}
        assert cluster.active(0) == 2
