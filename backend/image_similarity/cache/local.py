"""L1: a least-recently-used cache in this process, bounded in entries, bytes and time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from time import monotonic

from cachetools import TTLCache

from image_similarity.cache.base import Kind, TierStats
from image_similarity.cache.contents import KEPT, LocalContents
from image_similarity.telemetry.metrics import Metrics

_OVERHEAD = 200
"""Approximate overhead per entry in bytes: the key, the bytes object and the cache's bookkeeping."""


class LocalCache:
    """Implements `Cache` for one event loop."""

    def __init__(
        self,
        *,
        max_entries: int,
        max_bytes: int,
        ttl: float,
        metrics: Metrics,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        # One bound enforces both limits: each entry counts as at least max_bytes / max_entries, so that no more than
        # max_entries fit.
        self._least = max(1, max_bytes // max_entries) if max_entries else 1
        self._entries: TTLCache[tuple[Kind, str], bytes] = TTLCache(
            maxsize=min(max_bytes, self._least * max_entries), ttl=ttl, timer=timer, getsizeof=self._charge
        )
        self._contents = LocalContents(most=min(max_entries, KEPT), ttl=ttl, timer=timer)
        self._generation = 0
        self._metrics = metrics
        self._hits: Counter[Kind] = Counter()
        self._misses: Counter[Kind] = Counter()

    async def get(self, kind: Kind, key: str) -> bytes | None:
        """Return the value, or None; see `Cache`."""
        value = self._entries.get((kind, key))
        counter, outcome = (self._misses, "miss") if value is None else (self._hits, "hit")
        counter[kind] += 1
        self._metrics.cache_requests.labels("l1", kind, outcome).inc()
        return value

    async def set(self, kind: Kind, key: str, value: bytes) -> None:
        """Store the value unless it alone exceeds the cache; see `Cache`."""
        if self._charge(value) <= self._entries.maxsize:
            self._entries[kind, key] = value
        else:
            self._entries.pop((kind, key), None)

    async def generation(self) -> str:
        """Return the number of the collection's current state, as text; see `Cache`."""
        return str(self._generation)

    async def advance_generation(self, *written: str) -> None:
        """Make every cached result stale; see `Cache`."""
        self._generation += 1
        self._contents.mark(written)

    def note_contents(self, contents: Mapping[str, str], since: float) -> None:
        """Remember digests from the store; see `Cache`."""
        self._contents.note(contents, since)

    async def last_content(self, image_id: str) -> str | None:
        """Return the last known digest; see `Cache`."""
        return self._contents.find(image_id)

    def count_query(self, key: str) -> None:
        """No-op: this tier holds the popular embeddings already."""

    async def warm(self, top: int) -> int:
        """No-op: there is no other tier to copy from. Returns 0."""
        del top
        return 0

    def failure(self) -> None:
        """Return None: memory never fails."""

    def drop_results(self) -> None:
        """Free the results: after a write on another replica no search reads them again."""
        for key in [key for key in self._entries if key[0] is Kind.RESULT]:
            self._entries.pop(key, None)

    def stats(self) -> list[TierStats]:
        """Return the state of this tier, as a list of one."""
        self._entries.expire()
        return [
            TierStats(
                tier="l1",
                entries=len(self._entries),
                bytes=int(self._entries.currsize),
                hits={kind.value: self._hits[kind] for kind in Kind},
                misses={kind.value: self._misses[kind] for kind in Kind},
            )
        ]

    async def close(self) -> None:
        """No-op: there are no connections."""

    def _charge(self, value: bytes) -> int:
        return max(self._least, len(value) + _OVERHEAD)
