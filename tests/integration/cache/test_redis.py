"""L2: what is kept in Redis and for how long. See test_redis_away.py for a Redis that does not answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from image_similarity.cache.base import Cache, Kind
from image_similarity.cache.circuit_breaker import CircuitBreaker
from image_similarity.cache.generation import LEASE
from image_similarity.cache.redis import FORMAT
from image_similarity.telemetry.metrics import Metrics
from tests.integration.cache.conftest import eventually
from tests.support.redis_server import RedisServer
from tests.support.replicas import redis_cache

EMBEDDING, RESULT = Kind.EMBEDDING, Kind.RESULT
Make = Callable[..., Any]


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


async def test_many_writers_share_few_questions(redis: RedisServer, shared: Make) -> None:
    cache = shared()
    await cache.generation()
    before = int(re.findall(r"cmdstat_del:calls=(\d+)|$", redis.command("INFO commandstats"))[0] or 0)
    await asyncio.gather(*(cache.advance_generation() for _ in range(200)))
    after = int(re.findall(r"cmdstat_del:calls=(\d+)", redis.command("INFO commandstats"))[0])
    assert 1 <= after - before <= 3


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
