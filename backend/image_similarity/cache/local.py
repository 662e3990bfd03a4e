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
"""Bytes that the key, the bytes object and the cache's own books take beside a value, roughly."""


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
        # One bound serves both limits: an entry is charged at least its share of the bytes, so that never
        # more than max_entries fit.
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
        """Keep the value unless it alone exceeds the cache; see `Cache`."""
        if self._charge(value) <= self._entries.maxsize:
            self._entries[kind, key] = value
        else:
            self._entries.pop((kind, key), None)

    async def generation(self) -> str:
        """Return the number of the collection's present state, as text; see `Cache`."""
        return str(self._generation)

    async def advance_generation(self, *written: str) -> None:
        """Make every cached result stale; see `Cache`."""
        self._generation += 1
        self._contents.mark(written)

    def note_contents(self, contents: Mapping[str, str], since: float) -> None:
        """Remember what the store said; see `Cache`."""
        self._contents.note(contents, since)

    async def last_content(self, image_id: str) -> str | None:
        """Return what it said last; see `Cache`."""
        return self._contents.find(image_id)

    def count_query(self, key: str) -> None:
        """Nothing to note: what is asked often is here already."""

    async def warm(self, top: int) -> int:
        """Bring nothing: there is nowhere to bring it from."""
        del top
        return 0

    def failure(self) -> None:
        """Return None: memory does not fail."""

    def drop_results(self) -> None:
        """Make room: after a write on another replica no result in here will be asked for again."""
        for key in [key for key in self._entries if key[0] is Kind.RESULT]:
            self._entries.pop(key, None)

    def stats(self) -> list[TierStats]:
        """Return the state of this one tier."""
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
        """Nothing to let go of."""

    def _charge(self, value: bytes) -> int:
        return max(self._least, len(value) + _OVERHEAD)
