"""L2 when Redis does not answer: what a search and a write lose, and how it comes back; the password stays secret."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from time import perf_counter
from typing import Any

import pytest
from structlog.testing import capture_logs

from image_similarity.cache import generation
from image_similarity.cache.base import Cache, Kind
from image_similarity.cache.generation import PATIENCE
from image_similarity.cache.redis import RedisCache
from image_similarity.cache.tiered import TieredCache
from tests.integration.cache.conftest import eventually
from tests.support.redis_server import RedisServer, redis_server
from tests.support.replicas import SHORT_TIMEOUT, redis_cache, tiered_cache

EMBEDDING, RESULT = Kind.EMBEDDING, Kind.RESULT
Make = Callable[..., Any]
LONG = 30.0
"""Seconds of a lease; who waits for it is told from a busy machine."""


async def timed(cache: Cache, rounds: int = 20) -> float:
    """Return the seconds that looking ten things up takes, the way a search does it, when nothing comes in between."""
    best = inf
    for _ in range(rounds):
        started = perf_counter()
        for number in range(10):
            await cache.generation()
            await cache.get(EMBEDDING, f"k{number}")
        best = min(best, perf_counter() - started)
    return best


@pytest.mark.parametrize("way", ["kill", "pause"])
async def test_a_redis_that_is_gone_costs_nothing_and_is_used_when_back(
    mortal_redis: RedisServer, opened: Make, way: str
) -> None:
    cache: TieredCache = opened(tiered_cache(mortal_redis.url, timeout=SHORT_TIMEOUT))
    for number in range(50):
        await cache.set(EMBEDDING, f"k{number}", b"x")
    await cache.set(EMBEDDING, "near", b"x")
    generation = await cache.generation()
    with_redis = await timed(cache)

    with capture_logs() as logs:
        getattr(mortal_redis, way)()
        while cache.failure() is None:
            await cache.generation()
            assert await cache.get(EMBEDDING, "near") == b"x"
        # In L1 all the while; but no result is to be trusted.
        assert await cache.get(EMBEDDING, "near") == b"x"
        assert await cache.generation() is None
        assert await timed(cache) < with_redis
        assert [entry["event"] for entry in logs if entry["log_level"] != "debug"] == ["redis_does_not_answer"]
        assert cache.stats()[1].breaker in {"open", "half_open"}

        if way == "kill":
            mortal_redis.start()
        else:
            mortal_redis.resume()
        # By itself: nobody asks.
        await eventually(lambda: answers(cache))
        assert "redis_answers_again" in [entry["event"] for entry in logs]
    assert cache.stats()[1].breaker == "closed"
    await cache.set(EMBEDDING, "new", b"x")
    assert await cache._far.get(EMBEDDING, "new") == b"x"
    assert await cache.generation() not in {None, generation}


async def answers(cache: Cache) -> bool:
    return cache.failure() is None


async def test_a_hanging_redis_holds_a_write_up_only_as_long_as_it_must(
    mortal_redis: RedisServer, opened: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "LEASE", 3.0)
    cache: RedisCache = opened(redis_cache(mortal_redis.url))
    quick = min(await five(cache.advance_generation))
    mortal_redis.pause()
    first, second = await seconds(cache.advance_generation()), await seconds(cache.advance_generation())
    assert first >= generation.LEASE
    assert quick < second < first / 2
    assert second >= PATIENCE * 0.9
    assert await cache.generation() is None
    mortal_redis.resume()
    await eventually(cache.generation)


async def test_a_dead_redis_does_not_hold_a_write_up(
    mortal_redis: RedisServer, opened: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "LEASE", LONG)
    cache: RedisCache = opened(redis_cache(mortal_redis.url))
    await cache.advance_generation()
    mortal_redis.kill()
    await assert_five_writes_are_not_held_up(cache)
    mortal_redis.start()
    await eventually(cache.generation)


async def seconds(work: Awaitable[None]) -> float:
    started = perf_counter()
    await work
    return perf_counter() - started


async def five(work: Callable[[], Awaitable[None]]) -> list[float]:
    """Return the seconds that each of five runs takes; the least is without anything else that the machine does."""
    return [await seconds(work()) for _ in range(5)]


async def assert_five_writes_are_not_held_up(cache: Cache) -> None:
    taken = await five(cache.advance_generation)
    assert sum(taken) < LONG, "one of them waited until the generation had expired"
    assert min(taken) < PATIENCE


async def test_no_error_leaves_the_cache_when_redis_dies_in_the_middle(mortal_redis: RedisServer, opened: Make) -> None:
    cache: TieredCache = opened(tiered_cache(mortal_redis.url))
    stop = asyncio.Event()

    async def use(name: str) -> int:
        rounds = 0
        while not stop.is_set():
            generation = await cache.generation()
            value = await cache.get(RESULT, f"{name}:{generation}")
            assert value in {None, name.encode()}
            await cache.set(RESULT, f"{name}:{generation}", name.encode())
            await cache.advance_generation()
            cache.count_query(name)
            rounds += 1
            await asyncio.sleep(0)
        return rounds

    users = [asyncio.create_task(use(f"user{number}")) for number in range(20)]
    for _ in range(3):
        await asyncio.sleep(0.1)
        mortal_redis.kill()
        await asyncio.sleep(0.1)
        await asyncio.to_thread(mortal_redis.start)
    stop.set()
    assert all(await asyncio.gather(*users))
    assert await cache.warm(5) >= 0


async def test_without_a_redis_from_the_beginning_it_starts_and_joins_later(
    mortal_redis: RedisServer, opened: Make
) -> None:
    mortal_redis.kill()
    cache: TieredCache = opened(tiered_cache(mortal_redis.url))
    assert await cache.warm(10) == 0
    await cache.set(EMBEDDING, "k", b"x")
    assert await cache.get(EMBEDDING, "k") == b"x"
    mortal_redis.start()
    await eventually(cache.generation)


async def test_the_password_opens_the_door_and_is_told_to_nobody(
    tmp_path: Any, opened: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "LEASE", LONG)
    with redis_server(tmp_path / "guarded", "--requirepass", "correct-horse") as server, capture_logs() as logs:
        right = opened(redis_cache(server.url, password="correct-horse"))
        in_url = opened(redis_cache(server.url.replace("//", "//:correct-horse@")))
        wrong = opened(redis_cache(server.url, password="battery-staple"))
        await right.set(EMBEDDING, "k", b"x")
        assert await in_url.get(EMBEDDING, "k") == b"x"
        while wrong.failure() is None:
            assert await wrong.get(EMBEDDING, "k") is None
        # A misconfigured replica writes no slower.
        await assert_five_writes_are_not_held_up(wrong)
        assert right.failure() is None
    shown = f"{logs} {wrong.failure()} {right!r} {wrong.stats()}"
    assert "invalid username-password pair" in shown
    assert "horse" not in shown
    assert "staple" not in shown
