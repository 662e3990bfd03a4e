"""Whether the parts answer, seen from the background, and whether this process may be sent requests.

The two are kept apart. What replicas share (a Qdrant server, the storage, the broker) is shown by `/health` and by the
answer of each request that needs it. If it also decided `/ready`, one hiccup of the store would take every replica
out of the balancer at once, cached results and images with it.

No probe waits for a part, and no probe costs anything: a task looks at each part every few seconds, and probes and
scrapers read what it found. What a month of an idle process costs on S3 (0.0004 dollars per 1,000 HEAD requests):
518,000 HEADs, 21 cents.
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
"""Seconds between two looks, on average: processes that started together do not go on looking together."""

_RANDOM = Random()  # noqa: S311 - spreads looks; of its own, because Hypothesis watches the common one

_JITTER = 0.2
"""Share by which a pause may be longer or shorter."""

LIMIT = 3.0
"""Seconds within which a part answers, or is taken for away."""

STALE = 30.0
"""Seconds after which nothing is known any more: the looks themselves have stopped."""

STORES = ("vector_store", "storage", "disk")
"""The parts without which nothing can be written."""

Look = Callable[[], Awaitable[str | None]]
"""Returns what is wrong with a part, or None; raises an ImageSimilarityError for the same."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What the last look at a part has found."""

    problem: str | None
    """None where all is well."""
    at: float
    """When, by `time.monotonic`."""
    late: bool = False
    """Whether all that is known is that it did not answer in time, as a part that is only busy does not."""


class Monitor:
    """Looks at the parts again and again; who wants to know how they are reads what it found last."""

    def __init__(self) -> None:
        self._looks: dict[str, Look] = {}
        self._found: dict[str, Finding] = {}

    def add(self, part: str, look: Look) -> None:
        """Look at this part too, from the next round on."""
        self._looks[part] = look

    async def look(self) -> None:
        """Look at all parts once, side by side; takes `LIMIT` seconds at most, and never raises."""
        await asyncio.gather(*(self._look_at(part, look) for part, look in self._looks.items()))

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await asyncio.sleep(EVERY * _RANDOM.uniform(1 - _JITTER, 1 + _JITTER))
            await self.look()

    def findings(self) -> dict[str, Finding]:
        """Return the last finding on each part that was looked at, by its name, in the order of `add`."""
        return {part: self._current(self._found[part]) for part in self._looks if part in self._found}

    def problem(self, part: str) -> str | None:
        """Return what is wrong with a part; None where nothing is, or where nobody has looked."""
        found = self._found.get(part)
        return None if found is None else self._current(found).problem

    def failure(self, part: str) -> str | None:
        """Return what a part itself said is wrong with it; None too where it was only late."""
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
        # A mistake in one look must not end the others.
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
    """The facts about this process alone that decide whether requests may be sent to it.

    A fact that all replicas share does not belong here: the balancer would be left with nobody.
    """

    def __init__(self) -> None:
        self._facts: dict[str, Callable[[], str | None]] = {}

    def add(self, name: str, problem: Callable[[], str | None]) -> None:
        """Ask this too: `problem` returns at once, with what is wrong or None."""
        self._facts[name] = problem

    def problems(self) -> dict[str, str]:
        """Return what is wrong, by name; empty where requests may be sent here."""
        return {name: found for name, problem in self._facts.items() if (found := problem()) is not None}
