"""Conditions in Qdrant Edge's terms."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import qdrant_edge as edge

from image_similarity.domain import AllOf, AnyOf, Condition, Exists, InRange, Metadata, Not, OneOf, Scalar

BOOLEANS = "booleans"
"""Payload field of texts like `in_stock=true`: Edge 0.9 reads a boolean to match as the number 1 or 0."""

_EXACT_INTEGERS = 2**53
"""Up to here every whole number is a float64 of its own."""


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
            return edge.Filter(must=[edge.FieldCondition(payload_path(condition.field), range=_range(condition))])


def wanted_indexes(condition: Condition) -> dict[str, edge.PayloadSchemaType]:
    """Return the metadata fields that a condition looks into, each with the type of index that serves it."""
    match condition:
        case AllOf(conditions) | OneOf(conditions):
            return {field: kind for part in conditions for field, kind in wanted_indexes(part).items()}
        case Not(inner):
            return wanted_indexes(inner)
        case AnyOf(field, values):
            if all(isinstance(value, str) for value in values):
                return {field: edge.PayloadSchemaType.Keyword}
            if any(_is_number(value) for value in values):
                return {field: edge.PayloadSchemaType.Float}
            return {}
        case InRange(field):
            timed = isinstance(next(iter(_bounds(condition).values())), datetime)
            return {field: edge.PayloadSchemaType.Datetime if timed else edge.PayloadSchemaType.Float}
        case Exists():
            return {}


def payload_path(field: str) -> str:
    """Return the path of a metadata field in the payload; quoted, for a name may hold any character."""
    return ".".join(["metadata", *(f'"{step}"' for step in field.split("."))])


def boolean_terms(metadata: Metadata) -> list[str]:
    """Return a text for each boolean in the metadata, nested and in lists, for `BOOLEANS`."""
    return sorted(set(_boolean_terms(metadata, "")))


def _boolean_terms(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, bool):
        yield _boolean_term(path, value=value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _boolean_terms(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            # A list in a list is out of reach for the other types' paths too.
            if isinstance(inner, bool):
                yield _boolean_term(path, value=inner)


def _boolean_term(path: str, *, value: bool) -> str:
    return f"{path}={'true' if value else 'false'}"


def _equalities(field: str, values: tuple[Scalar, ...]) -> Iterator[edge.FieldCondition]:
    path = payload_path(field)
    if texts := [value for value in values if isinstance(value, str)]:
        yield edge.FieldCondition(path, match=edge.MatchAny(texts))
    for value in values:
        if isinstance(value, bool):
            yield edge.FieldCondition(BOOLEANS, match=edge.MatchValue(_boolean_term(field, value=value)))
        elif isinstance(value, int) and _EXACT_INTEGERS < abs(value) < 2**63:
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
