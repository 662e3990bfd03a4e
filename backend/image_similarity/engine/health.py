"""Check in the background whether the parts answer, and decide whether this process may get requests.

The two are separate. Problems of shared parts (a Qdrant server, the storage, the broker) are shown by `/health`, and by
the answer of each request that needs the part. If they also decided `/ready`, one short failure of the store would take
every replica out of the balancer at once, and with them all cached results and images.

No probe waits for a part or causes work: a task checks each part every few seconds, and probes and scrapers read its
last findings. An idle process costs 21 cents per month on S3: 518,000 HEAD requests at 0.0004 dollars per 1,000.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from time import monotonic

from image_similarity.domain.errors import ImageSimilarityError
from image_similarity.telemetry.logging import get_logger

EVERY = 5.0
"""Seconds between two checks, on average, with jitter, so that processes that start together drift apart."""

_RANDOM = Random()  # noqa: S311 - for jitter; a separate generator, because Hypothesis watches the common one

_JITTER = 0.2
"""Share by which a pause may be longer or shorter."""

LIMIT = 3.0
"""Seconds after which a part that does not answer counts as away."""

STALE = 30.0
"""Seconds after which a finding is too old: the checks themselves have stopped."""

STORES = ("vector_store", "storage", "disk")
"""The parts that every write needs."""

Look = Callable[[], Awaitable[str | None]]
"""Returns the problem of a part, or None; may raise it as an ImageSimilarityError instead."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of the last check of a part."""

    problem: str | None
    """None if all is well."""
    at: float
    """Time of the check, by `time.monotonic`."""
    late: bool = False
    """Whether the only problem is that it did not answer in time, perhaps because it is busy."""


class Monitor:
    """Checks the parts regularly, and keeps the last finding on each."""

    def __init__(self) -> None:
        self._looks: dict[str, Look] = {}
        self._found: dict[str, Finding] = {}

    def add(self, part: str, look: Look) -> None:
        """Check this part too, from the next round on."""
        self._looks[part] = look

    async def look(self) -> None:
        """Check all parts once, concurrently; takes `LIMIT` seconds at most, and never raises."""
        await asyncio.gather(*(self._look_at(part, look) for part, look in self._looks.items()))

    async def run(self) -> None:
        """Check regularly until cancelled."""
        while True:
            await asyncio.sleep(EVERY * _RANDOM.uniform(1 - _JITTER, 1 + _JITTER))
            await self.look()

    def findings(self) -> dict[str, Finding]:
        """Return the last finding on each part that was checked, by name, in the order of `add`."""
        return {part: self._current(self._found[part]) for part in self._looks if part in self._found}

    def problem(self, part: str) -> str | None:
        """Return the problem of a part; None if it has none, or was not checked yet."""
        found = self._found.get(part)
        return None if found is None else self._current(found).problem

    def failure(self, part: str) -> str | None:
        """Return the problem that a part itself reported; also None if it was only late."""
        found = self._found.get(part)
        return None if found is None or found.late else found.problem

    def _current(self, found: Finding) -> Finding:
        age = monotonic() - found.at
        return found if age <= STALE else Finding(f"Nothing is known for {age:.0f} s.", found.at, late=True)

    async def _look_at(self, part: str, look: Look) -> None:
        late = False
        try:
            async with asyncio.timeout(LIMIT):
                problem = await look()
        except TimeoutError:
            problem, late = f"No answer within {LIMIT:g} s.", True
        except ImageSimilarityError as error:
            problem = str(error)
        # A bug in one check must not end the others.
        except Exception as error:
            get_logger().error("health_check_failed", part=part, exc_info=error)
            problem = f"The check itself failed: {type(error).__name__}."
        before = self._found.get(part)
        self._found[part] = Finding(problem, monotonic(), late)
        if problem is not None and (before is None or before.problem is None):
            get_logger().warning("part_unavailable", part=part, reason=problem)
        elif problem is None and before is not None and before.problem is not None:
            get_logger().info("part_answers_again", part=part)


class Readiness:
    """The facts about this process alone that decide whether it may get requests.

    Facts that all replicas share do not belong here: the balancer would have no replica left.
    """

    def __init__(self) -> None:
        self._facts: dict[str, Callable[[], str | None]] = {}

    def add(self, name: str, problem: Callable[[], str | None]) -> None:
        """Add a fact: `problem` must return at once, with the problem or None."""
        self._facts[name] = problem

    def problems(self) -> dict[str, str]:
        """Return the problems by name; empty if this process may get requests."""
        return {name: found for name, problem in self._facts.items() if (found := problem()) is not None}
