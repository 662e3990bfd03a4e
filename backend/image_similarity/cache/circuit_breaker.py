"""Circuit breaker: what keeps failing is left alone for a while (M. Nygard, "Release It!", 2007)."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from time import monotonic


class BreakerState(StrEnum):
    """What the breaker does with calls."""

    CLOSED = "closed"
    """They go through."""
    OPEN = "open"
    """They are refused at once."""
    HALF_OPEN = "half_open"
    """One of them is trying."""


class CircuitBreaker:
    """Opens after `failures` failures in a row; `pause` seconds later one probe decides whether it closes again."""

    def __init__(self, *, failures: int = 3, pause: float = 1.0, clock: Callable[[], float] = monotonic) -> None:
        self.reason = ""
        """Of the last failure."""
        self._limit = failures
        self._pause = pause
        self._clock = clock
        self._state = BreakerState.CLOSED
        self._count = 0
        self._changed = clock()
        self._last_failure = float("-inf")

    @property
    def state(self) -> BreakerState:
        """What it does with calls now."""
        return self._state

    def start(self) -> float | None:
        """Return the call's beginning, to be given to `succeeded` or `failed`; None where it must not be made."""
        return self._clock() if self._state is BreakerState.CLOSED else None

    def start_probe(self) -> float | None:
        """Return the probe's beginning once the pause is over and no other probe is under way; else None."""
        now = self._clock()
        if self._state is not BreakerState.OPEN or now - self._changed < self._pause:
            return None
        self._enter(BreakerState.HALF_OPEN)
        return now

    def succeeded(self) -> None:
        """Note that a call was answered."""
        self._count = 0
        if self._state is BreakerState.HALF_OPEN:
            self._enter(BreakerState.CLOSED)

    def failed(self, started: float, reason: str) -> None:
        """Note that a call which began at `started` was not answered.

        Calls that were under way together fail together: of one hiccup's failures only the first counts.
        """
        self.reason = reason
        if self._state is BreakerState.HALF_OPEN:
            self._enter(BreakerState.OPEN)
        elif started > self._last_failure:
            self._last_failure = self._clock()
            self._count += 1
            if self._count >= self._limit:
                self._enter(BreakerState.OPEN)

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._changed = self._clock()
        self._count = 0
