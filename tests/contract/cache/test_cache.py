"""What every cache promises, whichever it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from image_similarity.cache.base import Cache, Kind
from image_similarity.cache.local import LocalCache
from image_similarity.telemetry.metrics import Metrics
from tests.support.replicas import redis_cache, tiered_cache

EMBEDDING, RESULT = Kind.EMBEDDING, Kind.RESULT


@pytest.fixture(params=["local", "redis", "tiered"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[Cache]:
    made: Any
    if request.param == "local":
        made = LocalCache(max_entries=100, max_bytes=1_000_000, ttl=600, metrics=Metrics())
    else:
        make = redis_cache if request.param == "redis" else tiered_cache
        made = make(request.getfixturevalue("redis").url)
    yield made
    await made.close()


@pytest.mark.parametrize("value", [b"", b"\0\xff\r\n", bytes(range(256)) * 1024])
async def test_what_is_set_is_got(cache: Cache, value: bytes) -> None:
    assert await cache.get(RESULT, "k") is None
    await cache.set(RESULT, "k", b"earlier")
    await cache.set(RESULT, "k", value)
    assert await cache.get(RESULT, "k") == value


@pytest.mark.parametrize("other", ["K", "k ", "k\n", "", "k:", "ключ", "k" * 5000])
async def test_keys_are_told_apart(cache: Cache, other: str) -> None:
    await cache.set(RESULT, "k", b"1")
    await cache.set(RESULT, other, b"2")
    assert (await cache.get(RESULT, "k"), await cache.get(RESULT, other)) == (b"1", b"2")


async def test_kinds_are_told_apart(cache: Cache) -> None:
    await cache.set(RESULT, "k", b"result")
    assert await cache.get(EMBEDDING, "k") is None


async def test_the_generation_stays_until_it_is_advanced_and_never_comes_back(cache: Cache) -> None:
    seen = [await cache.generation()]
    assert await cache.generation() == seen[0]
    for _ in range(20):
        await cache.advance_generation()
        seen.append(await cache.generation())
    assert None not in seen
    assert len(set(seen)) == len(seen)


async def test_hits_and_misses_are_counted_by_kind(cache: Cache) -> None:
    await cache.get(EMBEDDING, "k")
    await cache.set(EMBEDDING, "k", b"x")
    await cache.get(EMBEDDING, "k")
    await cache.get(EMBEDDING, "k")
    await cache.get(RESULT, "k")

    nearest = cache.stats()[0]
    assert (nearest.hits, nearest.misses) == ({"embedding": 2, "result": 0}, {"embedding": 1, "result": 1})
    assert cache.failure() is None


async def test_what_was_never_counted_cannot_be_warmed(cache: Cache) -> None:
    assert await cache.warm(10) == 0
    cache.count_query("counted, but nothing was ever kept under it")
    assert await cache.warm(10) == 0
