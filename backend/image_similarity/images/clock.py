"""The time that an image may take, less what it waits for others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic


class Clock:
    """Stands still until it is started and while it is stopped; one thread starts and stops it, any may look."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        """Allowed, from the start on."""
        self._deadline: float | None = None

    def start(self) -> None:
        """Let it run, with all of its time."""
        self._deadline = monotonic() + self.seconds

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it stand still, and go on afterwards with the time that it had left."""
        left = self.left()
        self._deadline = None
        try:
            yield
        finally:
            self._deadline = monotonic() + left

    def left(self) -> float:
        """Seconds that are left; all of them while it stands still."""
        deadline = self._deadline
        return self.seconds if deadline is None else deadline - monotonic()

    def complaint(self) -> str:
        """What to tell the sender of an image that took longer."""
        return f"Decoding the image took longer than {self.seconds:g} s; send a smaller one."
