"""Ranking of the most frequent queries, a sorted set in Redis; a new replica warms its L1 with them."""

from __future__ import annotations

from collections import Counter

from image_similarity.cache.redis_connection import Command, RedisConnection, as_none

KEPT = 10_000
"""Maximum number of ranked queries."""

_FLUSHED = 500
"""Maximum number of queries per flush; the least frequent ones are dropped."""

_HALF_LIFE = 3600
"""Seconds after which all counts are halved, so that last week's popular queries make room."""


class QueryPopularity:
    """Counts in this process, and adds its counts to the shared ranking at each flush."""

    def __init__(self, link: RedisConnection, *, key: str) -> None:
        self._link = link
        self._key = key
        self._counted: Counter[str] = Counter()

    def count(self, name: str) -> None:
        """Count one more search for `name`."""
        if name in self._counted or len(self._counted) < KEPT:
            self._counted[name] += 1

    async def flush(self) -> None:
        """Send the counts. They are estimates: if Redis does not answer, they are lost."""
        if not self._counted:
            return
        counted = self._counted.most_common(_FLUSHED)
        self._counted.clear()
        commands: list[Command] = [("ZINCRBY", self._key, count, name) for name, count in counted]
        commands.append(("ZREMRANGEBYRANK", self._key, 0, -KEPT - 1))
        commands.append(("SET", f"{self._key}:halved", "1", "NX", "EX", _HALF_LIFE))
        answer = await self._link.ask(*commands)
        # Only the replica that set the key halves the counts.
        if answer is not None and as_none(answer.replies[-1]) is not None:
            await self._link.ask(("ZUNIONSTORE", self._key, 1, self._key, "WEIGHTS", "0.5"))

    async def top(self, count: int) -> list[str]:
        """Return up to `count` names, the most frequent first."""
        if count <= 0:
            return []
        answer = await self._link.ask(("ZREVRANGE", self._key, 0, count - 1))
        return [name.decode() for name in (answer and as_none(answer.replies[0])) or []]
