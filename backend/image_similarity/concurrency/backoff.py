"""Pauses before the next attempt of a failed operation."""

from __future__ import annotations

_MAX_DOUBLINGS = 30
"""Bounded, because many more doublings would overflow a float."""


def pause_before(attempt: int, *, first: float, most: float) -> float:
    """Return the seconds to wait: `first` before attempt 0, and twice as long before each one after it, up to `most`.

    Callers add randomness if many clients might retry at the same moment.
    """
    return min(most, first * 2.0 ** min(attempt, _MAX_DOUBLINGS))
