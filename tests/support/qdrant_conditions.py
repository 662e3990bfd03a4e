"""The Qdrant stand-in's filters: the client's models in the words of Qdrant Edge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from tests.support.qdrant_refusal import Refused, only


def to_edge(condition: models.Filter | None) -> edge.Filter | None:
    if condition is None:
        return None
    only(condition, "must", "should", "must_not")
    return edge.Filter(
        must=_clauses(condition.must), should=_clauses(condition.should), must_not=_clauses(condition.must_not)
    )


def fields_of(condition: models.Filter) -> Iterator[str]:
    """Yield the payload fields that a filter looks into."""
    for clauses in (condition.must, condition.should, condition.must_not):
        for clause in clauses if isinstance(clauses, list) else [clauses]:
            match clause:
                case models.Filter():
                    yield from fields_of(clause)
                case models.IsEmptyCondition(is_empty=models.PayloadField(key=key)) | models.FieldCondition(key=key):
                    yield key


def _clauses(clauses: Any) -> list[Any] | None:
    if clauses is None:
        return None
    listed: Iterable[Any] = clauses if isinstance(clauses, list) else [clauses]
    return [_clause(clause) for clause in listed]


def _clause(clause: Any) -> Any:
    match clause:
        case models.Filter():
            return to_edge(clause)
        case models.IsEmptyCondition(is_empty=models.PayloadField(key=key)):
            return edge.IsEmptyCondition(key)
        case models.HasIdCondition(has_id=points):
            return edge.HasIdCondition({str(point) for point in points})
        case models.FieldCondition(key=key):
            only(clause, "key", "match", "range")
            return edge.FieldCondition(key, match=_match(clause.match), range=_range(clause.range))
    raise Refused(400, f"The stand-in does not know the condition {clause!r}.")


def _match(match: Any) -> Any:
    match match:
        case None:
            return None
        case models.MatchAny(any=values):
            return edge.MatchAny(values)
        case models.MatchValue(value=str() | int() as value) if not isinstance(value, bool):
            return edge.MatchValue(value)
    raise Refused(400, f"The stand-in does not know the match {match!r}.")


def _range(bounds: models.Range | models.DatetimeRange | None) -> Any:
    if bounds is None:
        return None
    given = {name: bound for name in ("gt", "gte", "lt", "lte") if (bound := getattr(bounds, name)) is not None}
    if isinstance(bounds, models.Range):
        return edge.RangeFloat(**given)
    return edge.RangeDateTime(**{name: bound.isoformat() for name, bound in given.items()})
