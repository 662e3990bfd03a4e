"""Pauses between attempts."""

from __future__ import annotations

from image_similarity.concurrency.backoff import pause_before


def test_pauses_double_up_to_the_longest() -> None:
    assert [pause_before(attempt, first=0.5, most=3) for attempt in range(5)] == [0.5, 1, 2, 3, 3]


def test_a_chunk_that_has_failed_for_ever_still_has_a_pause() -> None:
    assert pause_before(10**6, first=0.5, most=300) == 300
