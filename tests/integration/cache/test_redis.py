"""L2: what is kept in Redis and for how long, and what happens when Redis does not answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from math import inf
from time import perf_counter
from typing import Any

import pytest
from structlog.testing import capture_logs

from image_similarity.cache import generation
from image_similarity.cache.base import Cache, Kind
from image_similarity.cache.circuit_breaker import CircuitBreaker
from image_similarity.cache.generation import LEASE, PATIENCE
from image_similarity.cache.redis import FORMAT, RedisCache
from image_similarity.cache.tiered import TieredCache
from image_similarity.telemetry.metrics import Metrics
from tests.integration.cache.conftest import eventually
from tests.support.redis_server import RedisServer, redis_server
from tests.support.replicas import SHORT_TIMEOUT, redis_cache, tiered_cache

EMBEDDING, RESULT = Kind.EMBEDDING, Kind.RESULT
Make = Callable[..., Any]
LONG = 30.0
"""Seconds of a lease; who waits for it is told from a busy machine."""


async def test_two_replicas_share_values_and_generation(shared: Make) -> None:
    first, second = shared(), shared()
    await first.set(EMBEDDING, "k", b"x")
    assert await second.get(EMBEDDING, "k") == b"x"
    assert await second.generation() == await first.generation()
    await first.advance_generation()
    assert await second.generation() == await first.generation()


async def test_namespaces_are_apart(shared: Make) -> None:
    mine, theirs = shared(namespace="photos"), shared(namespace="photos2")
    await mine.set(RESULT, "k", b"x")
    before = await theirs.generation()
    await mine.advance_generation()
    assert await theirs.get(RESULT, "k") is None
    assert await theirs.generation() == before


async def test_values_expire(redis: RedisServer, shared: Make) -> None:
    cache = shared(ttl=100)
    await cache.set(EMBEDDING, "k", b"x")
    lifetime = int(redis.command(f"PTTL {{test}}:{FORMAT}:embedding:k").strip(":\r\n"))
    assert 90_000 < lifetime <= 100_000
    await cache.set(EMBEDDING, "k", b"x")
    redis.command(f"PEXPIRE {{test}}:{FORMAT}:embedding:k 1")
    await eventually(lambda: gone(cache))


async def gone(cache: Cache) -> bool:
    return await cache.get(EMBEDDING, "k") is None


async def test_a_write_makes_room_in_the_other_replicas_l1(tiered: Make) -> None:
    writer, reader = tiered(), tiered()
    await reader.set(RESULT, "k", b"x")
    await reader.set(EMBEDDING, "k", b"x")
    await asyncio.sleep(2 * LEASE / 4)
    assert reader.stats()[0].entries >= 1

    async def only_the_embedding_is_left() -> bool:
        await writer.advance_generation()
        return reader.stats()[0].entries == 1

    await eventually(only_the_embedding_is_left)
    assert (await reader.get(EMBEDDING, "k"), reader.stats()[0].hits["embedding"]) == (b"x", 1)


async def test_while_redis_is_full_writes_still_make_results_stale(redis: RedisServer, shared: Make) -> None:
    cache = shared()
    before = await cache.generation()
    redis.command("CONFIG SET maxmemory 1")
    try:
        await cache.set(EMBEDDING, "k", b"x")
        assert await cache.get(EMBEDDING, "k") is None
        await cache.advance_generation()
        assert await cache.generation() is None
    finally:
        redis.command("CONFIG SET maxmemory 0")
    assert await cache.generation() not in {None, before}


@pytest.mark.parametrize("junk", ["SET {0} junk", "HSET {0} a b", "SADD {0} a"])
async def test_junk_under_our_keys_does_no_harm(redis: RedisServer, shared: Make, junk: str) -> None:
    cache = shared()
    for key in ("generation", "popular", "embedding:k"):
        redis.command(junk.format(f"{{test}}:{FORMAT}:{key}"))
    assert await cache.get(EMBEDDING, "k") in {None, b"junk"}
    assert await cache.most_asked(3) == []
    before = await cache.generation()
    await cache.advance_generation()
    assert await cache.generation() not in {None, before}


async def test_the_generation_outlives_idle_times_and_a_replica(shared: Make, redis: RedisServer) -> None:
    first, second = shared(), redis_cache(redis.url)
    before = await second.generation()
    await second.close()
    key = f"{{test}}:{FORMAT}:generation"

    async def renewed() -> bool:
        return int(redis.command(f"PTTL {key}").strip(":\r\n")) > 60_000

    redis.command(f"PEXPIRE {key} 60000")
    await eventually(renewed)
    assert await first.generation() == before


# Redis is away.


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


async def test_many_writers_share_few_questions(redis: RedisServer, shared: Make) -> None:
    cache = shared()
    await cache.generation()
    before = int(re.findall(r"cmdstat_del:calls=(\d+)|$", redis.command("INFO commandstats"))[0] or 0)
    await asyncio.gather(*(cache.advance_generation() for _ in range(200)))
    after = int(re.findall(r"cmdstat_del:calls=(\d+)", redis.command("INFO commandstats"))[0])
    assert 1 <= after - before <= 3


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


# Passwords.


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


# Counters.


async def test_metrics_tell_hits_misses_and_what_was_not_asked(mortal_redis: RedisServer, opened: Make) -> None:
    metrics = Metrics()
    cache = opened(redis_cache(mortal_redis.url, metrics=metrics, breaker=CircuitBreaker(failures=1, pause=600)))

    def counted(outcome: str) -> float | None:
        labels = {"tier": "l2", "kind": "embedding", "outcome": outcome}
        return metrics.registry.get_sample_value("image_similarity_cache_requests_total", labels)

    await cache.get(EMBEDDING, "k")
    await cache.set(EMBEDDING, "k", b"x")
    await cache.get(EMBEDDING, "k")
    mortal_redis.kill()
    for _ in range(3):
        await cache.get(EMBEDDING, "k")
    assert [counted(outcome) for outcome in ("hit", "miss", "unavailable")] == [1, 1, 3]
    assert metrics.registry.get_sample_value("image_similarity_cache_errors_total") == 1
    assert metrics.registry.get_sample_value("image_similarity_cache_breaker_open") == 1
    assert cache.stats()[0].hits == {"embedding": 1, "result": 0}
