from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from image_similarity.cache import generation
from image_similarity.cache.redis import RedisCache
from image_similarity.cache.tiered import TieredCache
from tests.support.redis_server import RedisServer, redis_server
from tests.support.replicas import redis_cache, tiered_cache
from tests.support.servers import PATIENCE


@pytest.fixture(scope="module")
def running_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis(running_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> RedisServer:
    """Return a Redis that holds nothing and that must be alive at the end of the test."""
    running_redis.command("FLUSHALL")
    # It answers all the time, so nothing depends on the lease, which a busy machine may fail to renew in its second.
    monkeypatch.setattr(generation, "LEASE", 3600.0)
    return running_redis


@pytest.fixture
def mortal_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Return a Redis of the test's own."""
    with redis_server(tmp_path / "redis") as server:
        yield server


Opened = Callable[..., Any]


@pytest.fixture
async def opened() -> AsyncIterator[Callable[[Any], Any]]:
    """Return a function that has what it is given closed after the test."""
    async with AsyncExitStack() as stack:

        def remember(cache: Any) -> Any:
            stack.push_async_callback(cache.close)
            return cache

        yield remember


@pytest.fixture
def shared(redis: RedisServer, opened: Opened) -> Callable[..., RedisCache]:
    return lambda **options: opened(redis_cache(redis.url, **options))


@pytest.fixture
def tiered(redis: RedisServer, opened: Opened) -> Callable[..., TieredCache]:
    return lambda **options: opened(tiered_cache(redis.url, **options))


async def eventually(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait until it holds; fail where it never does."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - there is nothing to be told by
            await asyncio.sleep(0.02)
