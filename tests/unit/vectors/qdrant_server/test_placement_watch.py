"""Figures about the cluster that are asked for all the time, and seldom looked up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.vectors.placement import Copy, Node, Placement
from image_similarity.vectors.qdrant_server.placement_watch import PlacementWatch


class Cluster:
    """Counts how often it is asked; may be told to hang, or to fail."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.failure: Exception | None = None

    async def read(self, wanted: int) -> Placement:
        self.asked += 1
        await self.answers.wait()
        if self.failure is not None:
            raise self.failure
        copies = tuple(Copy(0, node) for node in range(self.asked))
        return Placement((Node(0, "a"), Node(1, "b"), Node(2, "c")), (0,), copies, wanted=wanted)


@asynccontextmanager
async def watching(cluster: Cluster, fresh: float) -> AsyncIterator[PlacementWatch]:
    watch = PlacementWatch(cluster.read, fresh=fresh)
    try:
        yield watch
    finally:
        await watch.close()
        await watch.close()


async def active(watch: PlacementWatch) -> int | None:
    summary = await watch.summary(2)
    return None if summary is None else summary.copies_active


async def test_a_fresh_figure_is_not_looked_up_again() -> None:
    cluster = Cluster()
    async with watching(cluster, fresh=3600) as watch:
        assert await asyncio.gather(*(active(watch) for _ in range(5))) == [1] * 5
        assert await active(watch) == 1
    assert cluster.asked == 1


async def test_an_old_figure_is_told_while_another_is_fetched() -> None:
    cluster = Cluster()
    async with watching(cluster, fresh=0) as watch:
        assert await active(watch) == 1
        cluster.answers.clear()
        # Nobody waits for a cluster that hangs, and it is asked once.
        assert [await active(watch) for _ in range(3)] == [1, 1, 1]
        await asyncio.sleep(0)
        assert cluster.asked == 2


async def test_a_caller_that_goes_away_does_not_end_the_look_for_others() -> None:
    cluster = Cluster()
    cluster.answers.clear()
    async with watching(cluster, fresh=3600) as watch:
        first, second = (asyncio.create_task(active(watch)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        cluster.answers.set()
        assert await second == 1
    assert cluster.asked == 1


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), ValueError("not what was expected")])
async def test_a_cluster_that_does_not_tell_is_heard_of_and_harms_nobody(failure: Exception) -> None:
    cluster = Cluster()
    cluster.failure = failure
    with capture_logs() as logged:
        async with watching(cluster, fresh=3600) as watch:
            assert await active(watch) is None
    assert [line["event"] for line in logged] == ["placement_unknown"]
