"""How long to wait before the next attempt at something that failed."""

from __future__ import annotations

_MAX_DOUBLINGS = 30
"""More would overflow a float in the end, and no pause is that long."""


def pause_before(attempt: int, *, first: float, most: float) -> float:
    """Return the seconds to wait: `first` before attempt 0, and twice as long before each one after it, up to `most`.

    Callers whose clients might all come back at the same moment make it random.
    """
    return min(most, first * 2.0 ** min(attempt, _MAX_DOUBLINGS))
