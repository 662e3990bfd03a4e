"""L2: a Redis that the replicas share."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping

from redis.exceptions import RedisError

from image_similarity.cache.base import Kind, TierStats
from image_similarity.cache.circuit_breaker import CircuitBreaker
from image_similarity.cache.contents import SharedContents
from image_similarity.cache.generation import LEASE, CollectionGeneration
from image_similarity.cache.popularity import QueryPopularity
from image_similarity.cache.redis_connection import RedisConnection, as_none
from image_similarity.telemetry.logging import get_logger
from image_similarity.telemetry.metrics import Metrics

FORMAT = 2
"""Version of the values, part of every key: during an upgrade, replicas of two versions must not share values."""

_BEAT = LEASE / 4
"""Seconds between two rounds of housekeeping."""

_AT_ONCE = 100
"""Embeddings fetched per command."""


class RedisCache:
    """Implements `SharedCache`; values are stored as they come: raw float32, and the rows of a result as JSON.

    No method waits for Redis longer than the time limit, except `advance_generation`: see `generation.py`.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str,
        ttl: float,
        timeout: float,
        metrics: Metrics,
        password: str | None = None,
        on_change: Callable[[], None] = lambda: None,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        """Start the background tasks; needs a running event loop.

        `on_change` is called after writes on any replica, at most a few times a second. Raises ValueError if `url`
        is not a Redis URL.
        """
        self._link = RedisConnection(
            url, password=password, timeout=timeout, breaker=breaker or CircuitBreaker(), metrics=metrics
        )
        # The braces put all keys into one hash slot, because one command may touch several.
        self._prefix = f"{{{namespace}}}:{FORMAT}"
        self._ttl = max(1, round(ttl * 1000))
        self._metrics = metrics
        self._channel = f"{self._prefix}:changed"
        self._generation = CollectionGeneration(self._link, key=f"{self._prefix}:generation", channel=self._channel)
        self._popularity = QueryPopularity(self._link, key=f"{self._prefix}:popular")
        self._contents = SharedContents(self._link, prefix=self._prefix, ttl=self._ttl)
        self._on_change = on_change
        self._changed = False
        self._hits: Counter[Kind] = Counter()
        self._misses: Counter[Kind] = Counter()
        self._tasks = [asyncio.create_task(work) for work in (self._keep_house(), self._listen())]

    async def get(self, kind: Kind, key: str) -> bytes | None:
        """Return the value, or None; see `Cache`."""
        answer = await self._link.ask(("GET", self._key(kind, key)))
        value: bytes | None = None if answer is None else as_none(answer.replies[0])
        self._count(kind, "unavailable" if answer is None else "miss" if value is None else "hit")
        return value

    async def set(self, kind: Kind, key: str, value: bytes) -> None:
        """Store the value for the time to live; see `Cache`."""
        await self._link.ask(("SET", self._key(kind, key), value, "PX", self._ttl))

    async def generation(self) -> str | None:
        """Return the name of the collection's current state; see `Cache`."""
        return await self._generation.current()

    async def advance_generation(self, *written: str) -> None:
        """Make every cached result stale, on every replica; see `Cache`."""
        await self._generation.advance()
        # After `advance`, because until then a search may find a result from before the write, and note its contents.
        await self._contents.mark(written)

    def note_contents(self, contents: Mapping[str, str], since: float) -> None:
        """Remember digests from the store; see `Cache`."""
        self._contents.note(contents, since)

    async def last_content(self, image_id: str) -> str | None:
        """Return the last digest that any replica noted; see `Cache`."""
        return await self._contents.find(image_id)

    def count_query(self, key: str) -> None:
        """Count a search for this embedding; see `Cache`."""
        self._popularity.count(key)

    async def warm(self, top: int) -> int:
        """No-op: other tiers are warmed from this one. Returns 0."""
        del top
        return 0

    async def most_asked(self, top: int) -> list[tuple[str, bytes]]:
        """Return keys and values of up to `top` embeddings, the most requested first; see `SharedCache`."""
        names = await self._popularity.top(top)
        found: list[tuple[str, bytes]] = []
        for start in range(0, len(names), _AT_ONCE):
            part = names[start : start + _AT_ONCE]
            answer = await self._link.ask(("MGET", *(self._key(Kind.EMBEDDING, name) for name in part)))
            values = (answer and as_none(answer.replies[0])) or []
            found += [(name, value) for name, value in zip(part, values, strict=False) if value is not None]
        return found

    def failure(self) -> str | None:
        """Return why Redis is not used; see `Cache`."""
        return self._link.failure()

    def stats(self) -> list[TierStats]:
        """Return the state of this tier, as a list of one; hits and misses are those of this replica."""
        return [
            TierStats(
                tier="l2",
                entries=None,
                bytes=None,
                hits={kind.value: self._hits[kind] for kind in Kind},
                misses={kind.value: self._misses[kind] for kind in Kind},
                breaker=self._link.breaker.value,
            )
        ]

    async def close(self) -> None:
        """Send pending counts and contents, and close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._popularity.flush()
        await self._contents.flush()
        await self._generation.close(_BEAT)
        await self._link.close()

    async def _keep_house(self) -> None:
        while True:
            await self._link.probe()
            await self._generation.keep(_BEAT)
            await self._popularity.flush()
            await self._contents.flush()
            if self._changed:
                self._changed = False
                self._on_change()
            await asyncio.sleep(_BEAT)

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(RedisError, OSError):
                async for _ in self._link.listen(self._channel):
                    self._changed = True
            # Missed messages only leave stale results in L1 for longer.
            get_logger().debug("redis_subscription_lost")
            await asyncio.sleep(LEASE)

    def _count(self, kind: Kind, outcome: str) -> None:
        if outcome != "unavailable":
            (self._hits if outcome == "hit" else self._misses)[kind] += 1
        self._metrics.cache_requests.labels("l2", kind, outcome).inc()

    def _key(self, kind: Kind, key: str) -> str:
        return f"{self._prefix}:{kind.value}:{key}"
