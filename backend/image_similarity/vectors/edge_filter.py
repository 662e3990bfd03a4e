"""Conditions in Qdrant Edge's terms."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import qdrant_edge as edge

from image_similarity.domain import AllOf, AnyOf, Condition, Exists, InRange, Metadata, Not, OneOf, Scalar
from image_similarity.filters import read_time

BOOLEANS = "booleans"
"""Payload field of texts like `in_stock=true`: Edge 0.9 reads a boolean to match as the number 1 or 0."""

TIMES = "times"
"""Payload field of the times in each metadata field: Edge 0.9 looks a number up in an index of times, and a time in an
index of numbers, and finds nonsense; so the two must never share a field."""

_EXACT_INTEGERS = 2**53
"""Below it every whole number is a float64 of its own."""


def to_edge(condition: Condition) -> edge.Filter:
    """Translate a condition. Raises nothing: what `filters.py` lets through has a translation."""
    match condition:
        case AllOf(conditions):
            return edge.Filter(must=[to_edge(part) for part in conditions])
        case OneOf(conditions):
            return edge.Filter(should=[to_edge(part) for part in conditions])
        case Not(inner):
            return edge.Filter(must_not=[to_edge(inner)])
        case Exists(field):
            return edge.Filter(must_not=[edge.IsEmptyCondition(payload_path(field))])
        case AnyOf(field, values):
            return edge.Filter(should=list(_equalities(field, values)))
        case InRange():
            return edge.Filter(must=[edge.FieldCondition(_range_path(condition), range=_range(condition))])


def wanted_indexes(condition: Condition) -> dict[str, edge.PayloadSchemaType]:
    """Return the payload paths that a condition looks into, each with the type of index that serves it."""
    match condition:
        case AllOf(conditions) | OneOf(conditions):
            return {path: kind for part in conditions for path, kind in wanted_indexes(part).items()}
        case Not(inner):
            return wanted_indexes(inner)
        case AnyOf(field, values):
            if all(isinstance(value, str) for value in values):
                return {payload_path(field): edge.PayloadSchemaType.Keyword}
            if any(_is_number(value) for value in values):
                return {payload_path(field): edge.PayloadSchemaType.Float}
            return {}
        case InRange():
            kind = edge.PayloadSchemaType.Datetime if _is_timed(condition) else edge.PayloadSchemaType.Float
            return {_range_path(condition): kind}
        case Exists():
            return {}


def payload_path(field: str) -> str:
    """Return the path of a metadata field in the payload; quoted, for a name may hold any character."""
    return ".".join(["metadata", *(f'"{step}"' for step in field.split("."))])


def metadata_field(path: str) -> str | None:
    """Return the metadata field that a payload path, quoted or not, leads to; None for a field of our own."""
    root, _, field = path.replace('"', "").partition(".")
    return field if root in ("metadata", TIMES) else None


def typed_fields(metadata: Metadata) -> dict[str, Any]:
    """Return `BOOLEANS` and `TIMES` for a payload, each where the metadata has such values."""
    booleans: set[str] = set()
    times: dict[str, list[str]] = {}
    for field, value in _leaves(metadata, ""):
        if isinstance(value, bool):
            booleans.add(_boolean_term(field, value=value))
        elif isinstance(value, str) and (moment := read_time(value)) is not None:
            times.setdefault(field, []).append(as_rfc3339(moment))
    return ({BOOLEANS: sorted(booleans)} if booleans else {}) | ({TIMES: times} if times else {})


def _leaves(metadata: Metadata, path: str) -> Iterator[tuple[str, Any]]:
    """Yield what a filter can reach, under its field's name; each element of a list on its own."""
    for key, value in metadata.items():
        # In a filter a dot is a step, so no filter reaches a key that holds one.
        if not key or "." in key:
            continue
        field = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from _leaves(value, field)
        elif isinstance(value, list):
            yield from ((field, element) for element in value)
        else:
            yield field, value


def _boolean_term(field: str, *, value: bool) -> str:
    return f"{field}={'true' if value else 'false'}"


def _is_timed(condition: InRange) -> bool:
    return any(isinstance(bound, datetime) for bound in _bounds(condition).values())


def _range_path(condition: InRange) -> str:
    return f'{TIMES}."{condition.field}"' if _is_timed(condition) else payload_path(condition.field)


def _equalities(field: str, values: tuple[Scalar, ...]) -> Iterator[edge.FieldCondition]:
    path = payload_path(field)
    if texts := [value for value in values if isinstance(value, str)]:
        yield edge.FieldCondition(path, match=edge.MatchAny(texts))
    for value in values:
        if isinstance(value, bool):
            yield edge.FieldCondition(BOOLEANS, match=edge.MatchValue(_boolean_term(field, value=value)))
        elif isinstance(value, int) and _EXACT_INTEGERS <= abs(value) < 2**63:
            yield edge.FieldCondition(path, match=edge.MatchValue(value))
        elif _is_number(value):
            # A range, so that 1 and 1.0 are the same number, as they are in JSON.
            yield edge.FieldCondition(path, range=edge.RangeFloat(gte=float(value), lte=float(value)))


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bounds(condition: InRange) -> dict[str, float | datetime]:
    names = ("gt", "gte", "lt", "lte")
    return {name: bound for name in names if (bound := getattr(condition, name)) is not None}


def _range(condition: InRange) -> edge.RangeFloat | edge.RangeDateTime:
    bounds = _bounds(condition)
    times = {name: as_rfc3339(bound) for name, bound in bounds.items() if isinstance(bound, datetime)}
    return edge.RangeDateTime(**times) if times else edge.RangeFloat(**bounds)  # type: ignore[arg-type]


def as_rfc3339(moment: datetime) -> str:
    """Return a time as the store writes times: UTC, microseconds; a time without a zone counts as UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return aware.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
