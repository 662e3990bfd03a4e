"""The collection's generation, shared by all replicas: no result computed before an acknowledged write is served.

The name of the generation is a random value under one key in Redis, and it is in the key of every cached result.

**A search** asks Redis for the name (30 µs on the same machine) before it looks into the cache, L1 included, and
before it queries the store. If Redis does not reply, the search uses no cached results and goes to the store.
**A write** replaces the name after it is in the store and before it is acknowledged.

Proof: let a write W be acknowledged before a search S begins. S reads the name after W replaced it, and names are
never reused. A result under the name that S reads was computed by a query that began after its search had read that
same name, hence after W was in the store. This holds as long as Redis answers. The rest is about failures.

- *A copy in each replica, kept fresh by pub/sub,* would save the 30 µs but break the promise: a search may overtake
  the message. Published changes therefore only free room in L1.
- *Redis dies, restarts empty or from an old snapshot, or a lagging replica takes over.* The name that we use is the
  value together with the run id of the server that returned it, which each session reads when it opens. No two runs
  share a run id, so no older result is ever found. An empty Redis gets a new random value, not a 1.
- *The key is flushed or evicted:* as above; the next reader puts a new random value there.
- *Redis hangs* (stopped, swapping, forking), so that a write cannot replace the name. The key lives for `LEASE`
  seconds only, and every replica renews it while it can. A writer without a reply waits until Redis has been silent
  for longer than that before it acknowledges. When Redis wakes up, it finds the key expired, so the results cached
  under it are lost. The first write to meet the silence waits for `LEASE`. It keeps one request open that Redis would
  answer as soon as it wakes; so later writes wait only for `PATIENCE`, the time in which a reply would have come.
- *Redis answers but refuses writes* (its disk is full, its replicas are gone): then it refuses renewals too, and the
  same wait suffices.
- *Redis refuses the connection:* that run no longer answers any replica. The write is acknowledged, and the next run
  has a new id.
- *Redis, or a proxy on the way, cuts the connection:* it may go on answering other replicas. It is asked again over
  new connections, and the writer waits as long as for a Redis that hangs.
- *A write that was acknowledged without a reply* is owed: until Redis has confirmed it, this replica uses no cached
  results, and it keeps trying in the background.
- *The replica dies between store and Redis:* the write was not acknowledged. A client that repeats it gets the answer
  "unchanged", and that write replaces the name too (`engine/collection/indexer.py`).

One gap remains: a replica that is cut off from a Redis which the other replicas still reach. They cannot learn of its
writes until it is back; the results that they serve may be older, by at most `CACHE_TTL` in each of the two tiers.
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
"""Seconds within which a reply of a running Redis arrives."""

_STEP = PATIENCE / 4
"""Silence is counted in steps, not by the clock: the event loop reads replies between two steps, so that a delay in
this process does not count as silence of Redis."""


class CollectionGeneration:
    """Reads and replaces the name; the module's docstring proves it right."""

    def __init__(self, link: RedisConnection, *, key: str, channel: str) -> None:
        self._link = link
        self._key = key
        self._channel = channel
        self._replacing = CoalescedTask(self._replace)
        self._silence = 0.0
        # Writes are numbered: Redis confirmed those up to _told; those up to _owed were acknowledged without a reply.
        self._written = 0
        self._told = 0
        self._owed = 0

    async def current(self) -> str | None:
        """Return the name of the current state; None if it cannot be known."""
        if self._owed > self._told:
            return None
        answer = await self._link.ask(("GET", self._key))
        if answer is not None and answer.replies[0] is None:
            # If several replicas find it missing, the first one sets it.
            answer = await self._link.ask(self._set(only_if_missing=True), ("GET", self._key))
        if answer is None or not isinstance(answer.replies[-1], bytes):
            return None
        return f"{answer.run}-{answer.replies[-1].decode(errors='replace')}"

    async def advance(self) -> None:
        """Return once no replica can serve a result from before the write that has just been stored."""
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
        """Renew the lease, or report owed writes; takes up to `seconds`. Call it several times per `LEASE`."""
        if self._owed > self._told:
            await asyncio.wait({self._replacing.next()}, timeout=seconds)
        else:
            await self._link.ask(("PEXPIRE", self._key, round(LEASE * 1000)))

    async def close(self, seconds: float) -> None:
        """Try once more, for up to `seconds`, to report owed writes to Redis."""
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
        # DEL first: unlike SET, Redis does not refuse it when memory is full, and DEL alone is enough.
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
