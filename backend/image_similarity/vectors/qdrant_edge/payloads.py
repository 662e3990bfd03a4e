"""Points of Qdrant Edge with their payloads, a few at a time.

Edge holds the interpreter's lock for the length of a call and reads a payload whole, whatever is wanted of it: 1 ms for
62 kB of metadata with thousands of keys. So points are found without their payloads, which then come in parts, each a
call of its own between which other calls have their turn. All that is made of a payload is made in the shard's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Protocol, TypeVar

import qdrant_edge as edge

FIRST = 4
"""Payloads of the first part, about as many milliseconds at worst."""

MOST = 256
"""Payloads of a part, if they are small."""

PART_SECONDS = 0.004
"""What a part may take, as far as the one before it tells."""

T = TypeVar("T")
Call = Callable[[edge.EdgeShard], T]


class Found(Protocol):
    """What Edge finds; its id is a UUID or a text."""

    @property
    def id(self) -> Any: ...  # noqa: D102


P = TypeVar("P", bound=Found)


class Run(Protocol):
    """Calls the shard in its thread; `LiveShard.run`."""

    async def __call__(self, call: Call[T]) -> T: ...  # noqa: D102


async def with_payloads(
    run: Run,
    find: Call[Sequence[P]],
    make: Callable[[P, dict[str, Any]], T],
    fields: Sequence[str] | None = None,
) -> list[T]:
    """Find points, and return what `make` makes of each and its payload, in the same order.

    `fields` names what is wanted of the payloads; None is for all. A point that goes meanwhile is left out. Raises
    StoreUnavailable, and what `make` raises.
    """
    wanted: Any = True if fields is None else edge.PayloadSelector.Include(list(fields))

    def read(shard: edge.EdgeShard, points: Sequence[P]) -> tuple[list[T], float]:
        if not points:
            return [], 0.0
        started = perf_counter()
        found = shard.retrieve([point.id for point in points], with_payload=wanted, with_vector=False)
        took = perf_counter() - started
        payloads = {str(record.id): record for record in found}
        there = ((point, payloads.get(str(point.id))) for point in points)
        return [make(point, record.payload or {}) for point, record in there if record is not None], took

    def begin(shard: edge.EdgeShard) -> tuple[Sequence[P], list[T], float]:
        points = find(shard)
        return points, *read(shard, points[:FIRST])

    points, made, took = await run(begin)
    done = size = FIRST
    while done < len(points):
        size = _next_size(size, took)
        part = points[done : done + size]
        some, took = await run(lambda shard, part=part: read(shard, part))  # type: ignore[misc]
        made += some
        done += size
    return made


def _next_size(size: int, took: float) -> int:
    """Return how many payloads may take PART_SECONDS, if `size` of them `took` so many; growing fourfold at most."""
    return max(1, min(MOST, 4 * size, int(size * PART_SECONDS / max(took, 1e-6))))
