"""The in-process cache: bounded in entries, bytes and time; the least recently used goes first."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_similarity.cache.base import Kind, TierStats
from image_similarity.cache.local import LocalCache
from image_similarity.telemetry.metrics import Metrics

EMBEDDING, RESULT = Kind.EMBEDDING, Kind.RESULT


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def cache_of(
    *, entries: int = 100, size: int = 1_000_000, ttl: float = 60, timer: Callable[[], float] | None = None
) -> LocalCache:
    return LocalCache(max_entries=entries, max_bytes=size, ttl=ttl, metrics=Metrics(), timer=timer or Clock())


async def kept(cache: LocalCache, keys: str) -> str:
    return "".join([key for key in keys if await cache.get(RESULT, key) is not None])


async def test_what_is_set_is_got_and_a_later_value_replaces_it() -> None:
    cache = cache_of()
    assert await cache.get(RESULT, "k") is None

    await cache.set(RESULT, "k", b"one")
    await cache.set(RESULT, "k", b"two")

    assert await cache.get(RESULT, "k") == b"two"
    assert cache.stats()[0].entries == 1


async def test_kinds_do_not_share_keys() -> None:
    cache = cache_of()
    await cache.set(RESULT, "k", b"result")

    assert await cache.get(EMBEDDING, "k") is None


async def test_the_least_recently_used_entry_goes_first() -> None:
    cache = cache_of(entries=3)
    for key in "abc":
        await cache.set(RESULT, key, b"x")
    await cache.get(RESULT, "a")
    await cache.set(RESULT, "d", b"x")

    assert await kept(cache, "abcd") == "acd"


@given(entries=st.integers(1, 40), spare=st.integers(0, 39))
async def test_never_more_than_the_allowed_entries(entries: int, spare: int) -> None:
    # The bytes leave room for more: 201 a small entry.
    cache = cache_of(entries=entries, size=201 * entries + spare * 10)
    for number in range(2 * entries):
        await cache.set(RESULT, str(number), b"x")

    assert cache.stats()[0].entries <= entries


async def test_never_more_than_the_allowed_bytes() -> None:
    cache = cache_of(size=10_000)
    for number in range(50):
        await cache.set(RESULT, str(number), bytes(1_000))

    [stats] = cache.stats()
    assert stats.entries == 8  # 1,200 bytes each, what comes with them counted
    assert stats.bytes <= 10_000


async def test_what_exceeds_the_whole_cache_is_not_kept_and_pushes_nothing_out() -> None:
    cache = cache_of(size=1_000)
    await cache.set(RESULT, "a", b"x")
    await cache.set(RESULT, "b", bytes(2_000))

    assert await kept(cache, "ab") == "a"


@pytest.mark.parametrize("limits", [{"entries": 0}, {"size": 0}])
async def test_no_room_turns_it_off(limits: dict[str, int]) -> None:
    cache = cache_of(**limits)
    await cache.set(RESULT, "a", b"x")

    assert await cache.get(RESULT, "a") is None
    assert cache.stats()[0].entries == 0


async def test_an_entry_lives_as_long_as_told_and_reading_does_not_prolong_it() -> None:
    clock = Clock()
    cache = cache_of(ttl=10, timer=clock)
    await cache.set(RESULT, "a", b"x")
    clock.now = 9.9
    assert await kept(cache, "a") == "a"
    await cache.set(RESULT, "b", b"x")
    clock.now = 10.1

    assert await kept(cache, "ab") == "b"
    assert cache.stats()[0].entries == 1


async def test_hits_and_misses_are_counted_by_kind_here_and_in_the_metrics() -> None:
    metrics = Metrics()
    cache = LocalCache(max_entries=10, max_bytes=10_000, ttl=60, metrics=metrics)
    await cache.set(RESULT, "k", b"value")
    for kind, key in ((RESULT, "k"), (RESULT, "k"), (RESULT, "other"), (EMBEDDING, "k")):
        await cache.get(kind, key)

    assert cache.stats() == [
        TierStats("l1", 1, cache.stats()[0].bytes, {"embedding": 0, "result": 2}, {"embedding": 1, "result": 1})
    ]
    counted = {"tier": "l1", "kind": "result", "outcome": "hit"}
    assert metrics.registry.get_sample_value("image_similarity_cache_requests_total", counted) == 2


async def test_each_write_to_the_collection_starts_a_generation() -> None:
    cache = cache_of()
    seen = [await cache.generation()]
    for _ in range(3):
        await cache.advance_generation()
        seen.append(await cache.generation())

    assert len(set(seen)) == 4
    assert seen[-1] == await cache.generation()
    await cache.close()
