"""Sweeps are repeated whatever fails, and stop when told to."""

from __future__ import annotations

import asyncio
import random

from structlog.testing import capture_logs

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.engine.sweeping import run_periodically


async def test_goes_on_after_any_failure_and_says_what_happened() -> None:
    stop = asyncio.Event()
    outcomes = iter([StoreUnavailable("away"), 0, ValueError("a defect"), 3])

    async def sweep() -> int:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome == 3:
            stop.set()
        return outcome

    before = random.getstate()
    with capture_logs() as logs:
        await run_periodically(sweep, stop, seconds=0.001, dropped="swept", failed="not_swept")
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("not_swept", "warning"),
        ("not_swept", "error"),
        ("swept", "info"),
    ]
    assert logs[0]["reason"] == "away"
    assert logs[-1]["number"] == 3
    assert random.getstate() == before, "a generator that somebody seeded is left alone"
    assert next(outcomes, None) is None


async def test_told_to_stop_in_a_pause_it_stops_at_once() -> None:
    stop = asyncio.Event()

    async def sweep() -> int:
        asyncio.get_running_loop().call_later(0.01, stop.set)
        return 0

    await asyncio.wait_for(run_periodically(sweep, stop, seconds=3600, dropped="swept", failed="not_swept"), 30)
