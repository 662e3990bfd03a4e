"""Reads points of Qdrant Edge with their payloads, a few at a time.

Edge holds the GIL during a call and reads a whole payload, even if only some fields are wanted: 1 ms for 62 kB of
metadata with thousands of keys. So points are found without payloads, which are then read in parts, each in a separate
call, so that other calls run in between. Payloads are also converted in the shard's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Protocol, TypeVar

import qdrant_edge as edge

FIRST = 4
"""Payloads in the first part; each takes about a millisecond at worst."""

MOST = 256
"""Maximum payloads per part, if they are small."""

PART_SECONDS = 0.004
"""Target time per part in seconds, estimated from the part before."""

T = TypeVar("T")
Call = Callable[[edge.EdgeShard], T]


class Found(Protocol):
    """A point that Edge returns; its id is a UUID or a text."""

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
    """Find points, and return the result of `make` for each point and its payload, in the same order.

    `fields` names the fields of the payloads to read; None reads all. A point that is deleted meanwhile is left out.
    Raises StoreUnavailable, and what `make` raises.
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
    """Return how many payloads take PART_SECONDS if `size` payloads took `took` seconds; grows fourfold at most."""
    return max(1, min(MOST, 4 * size, int(size * PART_SECONDS / max(took, 1e-6))))
