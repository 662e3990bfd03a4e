"""Circuit breaker: stops calling a service that keeps failing (M. Nygard, "Release It!", 2007)."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from time import monotonic


class BreakerState(StrEnum):
    """State of the breaker."""

    CLOSED = "closed"
    """Calls go through."""
    OPEN = "open"
    """Calls are refused at once."""
    HALF_OPEN = "half_open"
    """One probe is under way; other calls are refused."""


class CircuitBreaker:
    """Opens after `failures` failures in a row; `pause` seconds later one probe decides whether it closes again."""

    def __init__(self, *, failures: int = 3, pause: float = 1.0, clock: Callable[[], float] = monotonic) -> None:
        self.reason = ""
        """Reason of the last failure."""
        self._limit = failures
        self._pause = pause
        self._clock = clock
        self._state = BreakerState.CLOSED
        self._count = 0
        self._changed = clock()
        self._last_failure = float("-inf")

    @property
    def state(self) -> BreakerState:
        """The current state."""
        return self._state

    def start(self) -> float | None:
        """Return the start time of a call, for `failed`; None if the call must not be made."""
        return self._clock() if self._state is BreakerState.CLOSED else None

    def start_probe(self) -> float | None:
        """Return the start time of a probe if the pause is over and no other probe is under way; else None."""
        now = self._clock()
        if self._state is not BreakerState.OPEN or now - self._changed < self._pause:
            return None
        self._enter(BreakerState.HALF_OPEN)
        return now

    def succeeded(self) -> None:
        """Record that a call was answered."""
        self._count = 0
        if self._state is BreakerState.HALF_OPEN:
            self._enter(BreakerState.CLOSED)

    def failed(self, started: float, reason: str) -> None:
        """Record that a call which began at `started` was not answered.

        One outage fails all calls that are under way: of those failures only the first counts.
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
