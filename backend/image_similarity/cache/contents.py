"""The last known content of each image, to serve its bytes while the store is down (RFC 5861: stale-if-error).

Readers note the digests that the store returned. A write *marks* the image after it is in the store and before it is
acknowledged. Marking deletes the known digest in the same step, and while the mark exists no digest of the image is
stored, because a reader may have read the store just before the write. Digests older than `FRESH` are dropped, and a
mark lives longer than that. So no replica keeps a digest from before an acknowledged write.

If there is a Redis, the digests are in Redis only: copies in each replica's memory would have to be told of all other
replicas' writes. Every key names the run of the Redis that holds it, so that a Redis which restarts with older data
brings no digest back. One gap remains: a replica that cannot reach a running Redis marks as soon as it can. If it dies
before that, the old digest stays for up to `CACHE_TTL`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic

from cachetools import TTLCache
from redis.exceptions import ResponseError

from image_similarity.cache.redis_connection import Answer, Command, RedisConnection, as_none
from image_similarity.telemetry.logging import get_logger

MARK = 5.0
"""Seconds that a mark exists."""

FRESH = MARK / 2
"""Maximum age of a digest when it is stored, in seconds since before the store was asked."""

KEPT = 10_000
"""Maximum number of images waiting to be sent, waiting to be marked, or remembered as sent."""

_AGAIN = 60.0
"""Seconds after which a digest is sent again, so that images in use do not expire."""

_AT_ONCE = 500

_KEEP = """
for i = 1, #KEYS, 2 do
    if redis.call('EXISTS', KEYS[i + 1]) == 0 then
        redis.call('SET', KEYS[i], ARGV[(i + 1) / 2 + 1], 'PX', ARGV[1])
    end
end
"""
"""KEYS: content and mark of each image in turn. ARGV: the time to live in milliseconds, then the contents."""


class LocalContents:
    """Keeps the digests in this process."""

    def __init__(self, *, most: int, ttl: float, timer: Callable[[], float]) -> None:
        self._known: TTLCache[str, str] = TTLCache(maxsize=most, ttl=ttl, timer=timer)
        self._marked: TTLCache[str, None] = TTLCache(maxsize=KEPT, ttl=MARK, timer=timer)

    def note(self, contents: Mapping[str, str], since: float) -> None:
        """Store sha256 digests by image id, read from the store at `since` (`time.monotonic`) or later."""
        if monotonic() - since < FRESH:
            self._known.update({image_id: sha256 for image_id, sha256 in contents.items() if self._free(image_id)})

    def find(self, image_id: str) -> str | None:
        """Return the last known sha256 digest of an image, or None."""
        return self._known.get(image_id)

    def mark(self, image_ids: Sequence[str]) -> None:
        """Forget the digests of images that have been written."""
        for image_id in image_ids:
            self._marked[image_id] = None
            self._known.pop(image_id, None)

    def _free(self, image_id: str) -> bool:
        return self._known.maxsize > 0 and image_id not in self._marked


class SharedContents:
    """Keeps the digests in Redis."""

    def __init__(self, link: RedisConnection, *, prefix: str, ttl: int) -> None:
        """`ttl` in milliseconds."""
        self._link = link
        self._prefix = prefix
        self._ttl = ttl
        self._run = ""
        self._waiting: dict[str, tuple[str, float]] = {}
        self._sent: TTLCache[str, str] = TTLCache(maxsize=KEPT, ttl=_AGAIN)
        self._owed: dict[str, None] = {}

    def note(self, contents: Mapping[str, str], since: float) -> None:
        """Queue digests for the next flush; see `LocalContents`. Beyond `KEPT` they are dropped until the next read."""
        for image_id, sha256 in contents.items():
            if self._sent.get(image_id) != sha256 and len(self._waiting) < KEPT:
                self._waiting[image_id] = sha256, since

    async def find(self, image_id: str) -> str | None:
        """Return the last known sha256 digest of an image; None if it is unknown or Redis does not answer."""
        if image_id in self._owed:
            return None
        answer = await self._ask(lambda: [("GET", self._key(image_id))])
        value: bytes | None = None if answer is None else as_none(answer.replies[0])
        return None if value is None else value.decode()

    async def mark(self, image_ids: Sequence[str]) -> None:
        """Forget the digests of images that have been written; if Redis does not answer, `flush` tries again."""
        for image_id in image_ids:
            self._waiting.pop(image_id, None)
            self._sent.pop(image_id, None)
        if image_ids and not await self._marked(image_ids):
            if len(self._owed) + len(image_ids) > KEPT:
                get_logger().warning("contents_not_forgotten", images=len(image_ids))
                return
            self._owed.update(dict.fromkeys(image_ids))

    async def flush(self) -> None:
        """Send what waits. Digests that Redis does not take are noted again by the next reader."""
        if self._owed:
            owed = list(self._owed)[:_AT_ONCE]
            if not await self._marked(owed):
                return
            for image_id in owed:
                self._owed.pop(image_id, None)
        waiting, self._waiting = self._waiting, {}
        now = monotonic()
        fresh = {image_id: sha256 for image_id, (sha256, since) in waiting.items() if now - since < FRESH}
        for part in _parts(fresh):
            answer = await self._ask(lambda part=part: [self._keep(part)])  # type: ignore[misc]
            if answer is None:
                continue
            if isinstance(answer.replies[0], ResponseError):
                get_logger().warning("contents_not_kept", reason=str(answer.replies[0]))
            # Even a refused digest is not sent again before `_AGAIN`.
            self._sent.update(part)

    async def _marked(self, image_ids: Sequence[str]) -> bool:
        def commands() -> list[Command]:
            marks: list[Command] = [("SET", self._mark(name), "1", "PX", round(MARK * 1000)) for name in image_ids]
            return [*marks, ("DEL", *map(self._key, image_ids))]

        answer = await self._ask(commands)
        return answer is not None and all(as_none(reply) is reply for reply in answer.replies)

    def _keep(self, contents: Mapping[str, str]) -> Command:
        keys = [key for image_id in contents for key in (self._key(image_id), self._mark(image_id))]
        return ("EVAL", _KEEP, len(keys), *keys, self._ttl, *contents.values())

    async def _ask(self, commands: Callable[[], list[Command]]) -> Answer | None:
        """Send commands whose keys name the run that answers; None if Redis does not answer."""
        for _ in range(2):
            # Another call may learn of a new run while this call, which still names the old one, is under way.
            named = self._run
            answer = await self._link.ask(*commands())
            if answer is None or answer.run == named:
                return answer
            if answer.run != self._run:
                self._run = answer.run
                self._sent.clear()
        return None

    def _key(self, image_id: str) -> str:
        return f"{self._prefix}:{self._run}:content:{image_id}"

    def _mark(self, image_id: str) -> str:
        return f"{self._prefix}:{self._run}:written:{image_id}"


def _parts(contents: Mapping[str, str]) -> Iterator[dict[str, str]]:
    items = list(contents.items())
    for start in range(0, len(items), _AT_ONCE):
        yield dict(items[start : start + _AT_ONCE])
