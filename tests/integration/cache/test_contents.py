"""What images last had is known to every replica until one of them writes, and never again after that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Any

import pytest
from structlog.testing import capture_logs

from image_similarity.cache import contents
from image_similarity.cache.base import Cache
from image_similarity.cache.contents import FRESH, MARK
from image_similarity.cache.local import LocalCache
from image_similarity.telemetry.metrics import Metrics
from tests.integration.cache.conftest import eventually
from tests.support.redis_server import RedisServer
from tests.support.replicas import SHORT_TIMEOUT, redis_cache, tiered_cache

Make = Callable[..., Any]


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


async def known(cache: Cache, image_id: str, sha256: str) -> None:
    """Wait until the cache knows what is handed in."""

    async def noted() -> bool:
        cache.note_contents({image_id: sha256}, monotonic())
        return await cache.last_content(image_id) == sha256

    await eventually(noted)


async def settled(cache: Cache) -> None:
    """Wait until what was handed in before has been kept or dropped: an image handed in afterwards is known."""
    await known(cache, f"after {monotonic()}", "x")


async def test_what_was_noted_last_is_known(cache: Cache) -> None:
    assert await cache.last_content("a") is None
    await known(cache, "a", "one")
    await known(cache, "a", "two")
    cache.note_contents({f"{number}": f"sha-{number}" for number in range(80)}, monotonic())
    await settled(cache)
    assert [await cache.last_content(f"{number}") for number in (0, 79)] == ["sha-0", "sha-79"]


async def test_a_write_forgets_and_nothing_is_kept_while_its_mark_stands(cache: Cache) -> None:
    await known(cache, "a", "old")
    await known(cache, "other", "stays")
    await cache.advance_generation("a")
    assert await cache.last_content("a") is None
    # A reader that asked the store just before the write.
    cache.note_contents({"a": "old"}, monotonic())
    await settled(cache)
    assert await cache.last_content("a") is None
    assert await cache.last_content("other") == "stays"


async def test_a_write_that_changes_no_bytes_forgets_nothing(cache: Cache) -> None:
    await known(cache, "a", "one")
    await cache.advance_generation()
    assert await cache.last_content("a") == "one"


async def test_a_mark_passes(shared: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "MARK", 0.05)
    cache = shared()
    await cache.advance_generation("a")
    await known(cache, "a", "new")


async def test_what_was_read_too_long_ago_is_dropped(cache: Cache) -> None:
    assert FRESH < MARK
    cache.note_contents({"a": "old"}, monotonic() - FRESH)
    await settled(cache)
    assert await cache.last_content("a") is None


async def test_replicas_share_what_they_know_and_what_they_forget(tiered: Make) -> None:
    first, second = tiered(), tiered()
    await known(first, "a", "one")
    assert await second.last_content("a") == "one"
    await second.advance_generation("a")
    assert await first.last_content("a") is None
    first.note_contents({"a": "one"}, monotonic())
    await settled(first)
    assert await second.last_content("a") is None


async def test_a_redis_that_restarts_with_older_data_brings_nothing_back(
    mortal_redis: RedisServer, opened: Make
) -> None:
    cache = opened(redis_cache(mortal_redis.url))
    await known(cache, "a", "deleted since")
    mortal_redis.command("SAVE")
    await cache.advance_generation("a")
    mortal_redis.kill()
    await asyncio.to_thread(mortal_redis.start)
    assert ":content:a" in mortal_redis.command("KEYS *:content:a"), "the older data are there"
    await settled(cache)
    assert await cache.last_content("a") is None
    assert await opened(redis_cache(mortal_redis.url)).last_content("a") is None


async def test_a_redis_that_hangs_hears_of_a_write_when_it_wakes_up(mortal_redis: RedisServer, opened: Make) -> None:
    writer, other = (opened(redis_cache(mortal_redis.url, timeout=SHORT_TIMEOUT)) for _ in range(2))
    await known(other, "a", "old")
    mortal_redis.pause()
    await writer.advance_generation("a")
    assert await writer.last_content("a") is None
    mortal_redis.resume()

    async def forgotten() -> bool:
        return other.failure() is None and await other.last_content("a") is None

    await eventually(forgotten)
    await settled(other)
    assert await other.last_content("a") is None


async def test_a_redis_that_runs_no_scripts_is_complained_of(mortal_redis: RedisServer, opened: Make) -> None:
    mortal_redis.command("ACL SETUSER default -@scripting")
    cache = opened(redis_cache(mortal_redis.url))
    with capture_logs() as logs:
        cache.note_contents({"a": "one"}, monotonic())

        async def told() -> bool:
            return any(entry["event"] == "contents_not_kept" for entry in logs)

        await eventually(told)
    assert await cache.last_content("a") is None
    assert cache.failure() is None
