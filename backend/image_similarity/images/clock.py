"""The time limit of decoding one image, not counting the time that it waits for other images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic


class Clock:
    """A countdown that can be paused. One thread starts and stops it; any thread may read it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        """Time limit from the start on."""
        self._deadline: float | None = None

    def start(self) -> None:
        """Start it, with the full time."""
        self._deadline = monotonic() + self.seconds

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Pause it in the block; afterwards it goes on with the time that was left."""
        left = self.left()
        self._deadline = None
        try:
            yield
        finally:
            self._deadline = monotonic() + left

    def left(self) -> float:
        """Return the seconds that are left; `seconds` while it is not running."""
        deadline = self._deadline
        return self.seconds if deadline is None else deadline - monotonic()

    def complaint(self) -> str:
        """Return the error message for the sender of an image that took longer."""
        return f"Decoding the image took longer than {self.seconds:g} s; send a smaller one."
