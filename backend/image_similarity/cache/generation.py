"""The collection's generation, shared by all replicas: no result computed before an acknowledged write is served.

The name of the generation is a random value under one key in Redis, and it is in the key of every cached result.

**A search** asks Redis for the name (30 µs on the same machine) before it looks into the cache, L1 included, and
before it queries the store. No reply, no cached results: the search then goes to the store.
**A write** replaces the name after it is in the store and before it is acknowledged.

So let a write W be acknowledged before a search S begins. S reads the name after W replaced it, and names never come
back. A result under the name that S reads was computed by a query that began after someone had read that same name,
hence after W was in the store. That is the whole argument as long as Redis answers. The rest is about failures.

- *A copy in each replica, kept fresh by pub/sub,* would spare the 30 µs but not keep the promise: a search may
  overtake the message. Published changes therefore only make room in L1.
- *Redis dies, restarts empty, from an old snapshot, or a lagging stand-in takes over.* The name that a replica uses
  is the value together with the run id of the server that gave it, which each session asked for when it was opened.
  No two runs share it, so nothing from before is ever found. An empty Redis gets a new random value, not a 1.
- *The key is flushed or evicted:* as above; the next reader puts a new random value there.
- *Redis hangs* (stopped, swapping, forking), so that a write cannot tell it. The key lives for `LEASE` seconds only,
  and every replica renews it while it can. A writer without a reply waits until Redis has been silent for longer than
  that before it acknowledges. When Redis wakes up, its first look at the key finds it expired, and what was cached
  under it is lost. The first write to meet the silence waits for `LEASE`; others, while one question is kept open
  that Redis would answer the moment it wakes, wait for `PATIENCE`, the time in which an answer would have come.
- *Redis answers but takes no writes* (its disk is full, its copies are gone): then it does not take renewals either,
  and the same wait does.
- *Redis refuses the connection:* nobody is being answered by that run any more; the write is acknowledged, and the
  next run has a new id.
- *Redis, or something on the way, cuts the connection:* it may go on answering the others, so it is asked again over
  new connections, and the writer waits as long as for one that hangs.
- *A write that was acknowledged without a reply* is owed: until Redis has heard of it the replica itself uses no
  cached results, and it goes on trying in the background.
- *The replica dies between store and Redis:* the write was not acknowledged. Whoever repeats it is told "unchanged",
  and that too replaces the name (`engine/search_engine.py`).

What remains: a replica that alone is cut off from a Redis which the others still reach. They cannot know of its writes
until it is back; what they serve from the cache may be older, by at most `CACHE_TTL` in each of the two tiers.
"""

from __future__ import annotations

import asyncio
import secrets

from redis.exceptions import RedisError, ResponseError

from image_similarity.cache.redis_connection import Command, RedisConnection, was_cut
from image_similarity.concurrency.coalesce import CoalescedTask
from image_similarity.telemetry.logging import get_logger

LEASE = 1.0
"""Seconds that the generation lives unless it is renewed."""

PATIENCE = 0.1
"""Seconds in which a reply that Redis has sent is here."""

_STEP = PATIENCE / 4
"""Silence is counted in steps and not by the clock: between any two the event loop has looked for replies, so that
this process being late is not taken for Redis being silent."""


class CollectionGeneration:
    """Reads and replaces the name; see the module's text for why it is right."""

    def __init__(self, link: RedisConnection, *, key: str, channel: str) -> None:
        self._link = link
        self._key = key
        self._channel = channel
        self._replacing = CoalescedTask(self._replace)
        self._silence = 0.0
        # Writes are numbered; those up to _told are known to Redis, that up to _owed were acknowledged.
        self._written = 0
        self._told = 0
        self._owed = 0

    async def current(self) -> str | None:
        """Return the name of the present state; None where it cannot be known."""
        if self._owed > self._told:
            return None
        answer = await self._link.ask(("GET", self._key))
        if answer is not None and answer.replies[0] is None:
            # Of several who find it missing the first one names it.
            answer = await self._link.ask(self._set(only_if_missing=True), ("GET", self._key))
        if answer is None or not isinstance(answer.replies[-1], bytes):
            return None
        return f"{answer.run}-{answer.replies[-1].decode(errors='replace')}"

    async def advance(self) -> None:
        """Return once every replica is sure to see the write that has just been stored."""
        self._written += 1
        mine = self._written
        run = self._replacing.next()
        waited = 0.0
        while not run.done() and (waited < PATIENCE or self._silence < LEASE + PATIENCE):
            await asyncio.wait({run}, timeout=_STEP)
            waited += _STEP
        if self._told < mine:
            self._owed = max(self._owed, mine)

    async def keep(self, seconds: float) -> None:
        """Renew the lease, or tell what is owed; to be called several times a `LEASE`, and takes up to `seconds`."""
        if self._owed > self._told:
            await asyncio.wait({self._replacing.next()}, timeout=seconds)
        else:
            await self._link.ask(("PEXPIRE", self._key, round(LEASE * 1000)))

    async def close(self, seconds: float) -> None:
        """Try once more, for up to `seconds`, to tell what is owed."""
        if self._owed > self._told:
            await asyncio.wait({self._replacing.next()}, timeout=seconds)
        if self._owed > self._told:
            get_logger().warning("redis_not_told_of_writes", count=self._owed - self._told)
        await asyncio.gather(*self._replacing.cancel(), return_exceptions=True)

    async def _replace(self) -> None:
        covered = self._written
        telling = asyncio.create_task(self._tell())
        self._silence = 0.0
        try:
            while not telling.done():
                done, _ = await asyncio.wait({telling}, timeout=_STEP)
                self._silence += 0.0 if done else _STEP
            telling.result()
            self._told = max(self._told, covered)
        except (RedisError, OSError) as error:
            get_logger().debug("redis_not_told_of_write", reason=str(error))
        finally:
            self._silence = 0.0
            telling.cancel()
            await asyncio.wait({telling})

    async def _tell(self) -> None:
        # DEL first: unlike SET it is not refused for want of memory, and it alone does what must be done.
        commands: tuple[Command, ...] = (
            ("DEL", self._key),
            self._set(only_if_missing=False),
            ("PUBLISH", self._channel, "changed"),
        )
        while True:
            try:
                answer = await self._link.request_without_timeout(*commands)
            except (RedisError, OSError) as error:
                if not was_cut(error):
                    raise
            else:
                if not isinstance(answer.replies[0], ResponseError):
                    return
            await asyncio.sleep(_STEP)

    def _set(self, *, only_if_missing: bool) -> Command:
        command = ("SET", self._key, secrets.token_hex(12), "PX", round(LEASE * 1000))
        return (*command, "NX") if only_if_missing else command
