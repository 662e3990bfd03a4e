"""Two tiers: the near one first, the far one decides what is current."""

from __future__ import annotations

import pytest

from image_similarity.cache.base import Kind, TierStats
from image_similarity.cache.local import LocalCache
from image_similarity.cache.tiered import TieredCache
from image_similarity.telemetry.metrics import Metrics

EMBEDDING, RESULT = Kind.EMBEDDING, Kind.RESULT


class Far:
    """A shared cache in memory that notes what it is asked."""

    def __init__(self) -> None:
        self.values: dict[tuple[Kind, str], bytes] = {}
        self.asked: list[str] = []
        self.counted: list[str] = []
        self.name: str | None = "one"
        self.closed = False

    async def get(self, kind: Kind, key: str) -> bytes | None:
        self.asked.append(key)
        return self.values.get((kind, key))

    async def set(self, kind: Kind, key: str, value: bytes) -> None:
        self.values[kind, key] = value

    async def generation(self) -> str | None:
        return self.name

    async def advance_generation(self) -> None:
        self.name = "two"

    def count_query(self, key: str) -> None:
        self.counted.append(key)

    async def warm(self, top: int) -> int:
        raise AssertionError("the shared tier is not warmed")

    async def most_asked(self, top: int) -> list[tuple[str, bytes]]:
        return [(f"k{rank}", b"x") for rank in range(top)]

    def failure(self) -> str | None:
        return "away"

    def stats(self) -> list[TierStats]:
        return [TierStats("l2", None, None, {}, {}, "closed")]

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def far() -> Far:
    return Far()


def tiers(far: Far, *, entries: int = 100) -> tuple[TieredCache, LocalCache]:
    near = LocalCache(max_entries=entries, max_bytes=1_000_000, ttl=60, metrics=Metrics())
    return TieredCache(near, far), near


async def test_a_far_hit_fills_the_near_tier(far: Far) -> None:
    cache, near = tiers(far)
    far.values[EMBEDDING, "k"] = b"x"
    assert [await cache.get(EMBEDDING, "k") for _ in range(3)] == [b"x"] * 3
    assert far.asked == ["k"]
    assert await near.get(EMBEDDING, "k") == b"x"


async def test_a_miss_in_both_fills_nothing(far: Far) -> None:
    cache, near = tiers(far)
    assert await cache.get(RESULT, "k") is None
    assert near.stats()[0].entries == 0


async def test_what_is_set_is_in_both(far: Far) -> None:
    cache, near = tiers(far)
    await cache.set(RESULT, "k", b"x")
    assert await near.get(RESULT, "k") == far.values[RESULT, "k"] == b"x"


async def test_without_room_in_the_near_tier_the_far_one_serves(far: Far) -> None:
    cache, _ = tiers(far, entries=0)
    await cache.set(RESULT, "k", b"x")
    assert [await cache.get(RESULT, "k") for _ in range(2)] == [b"x", b"x"]
    assert far.asked == ["k", "k"]


async def test_only_the_far_tier_says_what_is_current(far: Far) -> None:
    cache, near = tiers(far)
    before = await near.generation()
    assert await cache.generation() == "one"
    await cache.advance_generation()
    assert await cache.generation() == "two"
    far.name = None
    assert await cache.generation() is None
    assert await near.generation() == before


async def test_warming_brings_the_most_asked_near_and_keeps_the_first_of_them(far: Far) -> None:
    cache, near = tiers(far, entries=3)
    assert await cache.warm(5) == 5
    kept = [key for key in ("k0", "k1", "k2", "k3", "k4") if await near.get(EMBEDDING, key)]
    assert kept == ["k0", "k1", "k2"]


async def test_counts_failures_and_figures_are_passed_on(far: Far) -> None:
    cache, _ = tiers(far)
    cache.count_query("k")
    assert far.counted == ["k"]
    assert cache.failure() == "away"
    assert [tier.tier for tier in cache.stats()] == ["l1", "l2"]
    await cache.close()
    assert far.closed


async def test_making_room_drops_results_and_leaves_embeddings() -> None:
    _, near = tiers(Far())
    for key in "abc":
        await near.set(RESULT, key, b"x")
        await near.set(EMBEDDING, key, b"x")
    near.drop_results()
    near.drop_results()
    assert [await near.get(RESULT, key) for key in "abc"] == [None] * 3
    assert [await near.get(EMBEDDING, key) for key in "abc"] == [b"x"] * 3
