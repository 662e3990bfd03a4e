"""What a filter means, in plain Python, and random sentences of the filter language to compare a store with."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

from image_similarity.domain.filters import AllOf, AnyOf, Condition, Exists, InRange, Not, OneOf, Scalar
from image_similarity.domain.records import Metadata


def holds(condition: Condition, metadata: Metadata) -> bool:
    """Tell whether a condition holds, read off the words of `domain/filters.py` without any thought of speed."""
    match condition:
        case AllOf(conditions):
            return all(holds(part, metadata) for part in conditions)
        case OneOf(conditions):
            return any(holds(part, metadata) for part in conditions)
        case Not(inner):
            return not holds(inner, metadata)
        case Exists(field):
            return any(value is not None and value != [] for value in _at(field, metadata))
        case AnyOf(field, values):
            return any(_same(element, value) for element in _elements(field, metadata) for value in values)
        case InRange(field):
            return any(_within(condition, element) for element in _elements(field, metadata))


def _at(field: str, metadata: Metadata) -> Iterator[Any]:
    value: Any = metadata
    for step in field.split("."):
        if not isinstance(value, dict) or step not in value:
            return
        value = value[step]
    yield value


def _elements(field: str, metadata: Metadata) -> Iterator[Any]:
    for value in _at(field, metadata):
        if isinstance(value, list):
            yield from value
        else:
            yield value


def _same(element: Any, value: Scalar) -> bool:
    return _kind(element) is _kind(value) and bool(element == value)


def _kind(value: Any) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def _within(bounds: InRange, element: Any) -> bool:
    given = [bound for bound in (bounds.gt, bounds.gte, bounds.lt, bounds.lte) if bound is not None]
    if isinstance(given[0], datetime):
        element = _as_time(element)
    if element is None or _kind(element) is not _kind(given[0]):
        return False
    return (
        (bounds.gt is None or element > _comparable(bounds.gt))
        and (bounds.gte is None or element >= _comparable(bounds.gte))
        and (bounds.lt is None or element < _comparable(bounds.lt))
        and (bounds.lte is None or element <= _comparable(bounds.lte))
    )


def _comparable(bound: Any) -> Any:
    return bound.replace(tzinfo=bound.tzinfo or UTC) if isinstance(bound, datetime) else bound


def _as_time(element: Any) -> datetime | None:
    if not isinstance(element, str):
        return None
    try:
        return _comparable(datetime.fromisoformat(element))
    except ValueError:
        return None


FIELDS = ("a", "b", "nested.d", "nested", "é x[0]")
TIMES = ("2024-01-01T00:00:00Z", "2024-01-01T01:00:00+01:00", "2024-06-30T12:30:00.25Z", "2025-01-01")
SCALARS = ("x", "y", "1", "true", "", 0, 1, 1.0, -1, 2, 0.5, True, False, *TIMES)


def random_metadata(random: Random) -> Metadata:
    """Draw an object whose fields now and then lack, are null, or hold a list or another object."""
    flat = {name: _random_value(random) for name in ("a", "b", "é x[0]") if random.random() < 0.8}
    nested = {"nested": {"d": _random_value(random)}} if random.random() < 0.6 else {}
    return {**flat, **nested}


def _random_value(random: Random) -> Any:
    roll = random.random()
    if roll < 0.6:
        return random.choice(SCALARS)
    if roll < 0.7:
        return None
    return [random.choice((*SCALARS, None)) for _ in range(random.randrange(4))]


def random_filter(random: Random, depth: int = 3) -> dict[str, Any]:
    """Draw a filter as JSON."""
    roll = random.random()
    if depth and roll < 0.4:
        joiner = random.choice(("and", "or", "not"))
        if joiner == "not":
            return {"not": random_filter(random, depth - 1)}
        return {joiner: [random_filter(random, depth - 1) for _ in range(random.randrange(1, 4))]}
    return {random.choice(FIELDS): _random_demand(random) for _ in range(random.randrange(1, 3))}


def _random_demand(random: Random) -> Any:
    some = [random.choice(SCALARS) for _ in range(random.randrange(1, 4))]
    bounds = random.choice(((-1, 0, 0.5, 1, 2), TIMES))
    return random.choice(
        (
            some[0],
            None,
            some,
            {"ne": some[0]},
            {"not_in": some},
            {"exists": random.random() < 0.5},
            {random.choice(("gt", "gte")): random.choice(bounds), random.choice(("lt", "lte")): random.choice(bounds)},
            {random.choice(("gt", "gte", "lt", "lte")): random.choice(bounds)},
        )
    )
