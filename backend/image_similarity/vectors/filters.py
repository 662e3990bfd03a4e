"""Translates conditions to Qdrant: their meaning is defined here once; a `FilterBuilder` renders it for one library.

Qdrant Edge and the client of a server have different classes for the same filter language.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from image_similarity.domain.filters import AllOf, AnyOf, Condition, Exists, InRange, Not, OneOf, Scalar
from image_similarity.domain.metadata import as_rfc3339
from image_similarity.domain.records import ImageRecord
from image_similarity.vectors.base import point_id
from image_similarity.vectors.cursor import Cursor
from image_similarity.vectors.payload import BOOLEANS, REVISION, TIMES, boolean_term, metadata_field, payload_path

MAX_FIELD_INDEXES = 64
"""Each index costs memory per image, and any caller may filter on any field."""

_EXACT_INTEGERS = 2**53
"""Below it, every integer has its own float64."""

Filter = TypeVar("Filter")
Clause = TypeVar("Clause")


class IndexKind(StrEnum):
    """Types of field indexes; the values are Qdrant's names."""

    KEYWORD = "keyword"
    FLOAT = "float"
    DATETIME = "datetime"
    UUID = "uuid"


OWN_INDEXES = {"sha256": IndexKind.KEYWORD, "indexed_at": IndexKind.DATETIME, BOOLEANS: IndexKind.KEYWORD}
"""Indexes that every collection has from the start."""


class FilterBuilder(Protocol[Filter, Clause]):
    """Makes the objects of one Qdrant library; a filter can be used in place of a clause."""

    def all_of(self, parts: Sequence[Filter | Clause]) -> Filter:
        """Every part holds."""
        ...

    def one_of(self, parts: Sequence[Filter | Clause]) -> Filter:
        """At least one part holds."""
        ...

    def none_of(self, parts: Sequence[Filter | Clause]) -> Filter:
        """No part holds."""
        ...

    def is_empty(self, path: str) -> Clause:
        """The field is missing, null or an empty list."""
        ...

    def any_text(self, path: str, texts: list[str]) -> Clause:
        """The field has one of the texts."""
        ...

    def value(self, path: str, value: str | int) -> Clause:
        """The field has the value."""
        ...

    def numbers(self, path: str, bounds: dict[str, float]) -> Clause:
        """The field is a number within the bounds gt, gte, lt, lte."""
        ...

    def times(self, path: str, bounds: dict[str, str]) -> Clause:
        """The field is a time within the bounds, which have the format of `as_rfc3339`."""
        ...

    def points(self, ids: Sequence[str]) -> Clause:
        """The point is one of these."""
        ...


def translate(condition: Condition, terms: FilterBuilder[Filter, Clause]) -> Filter:
    """Translate a condition. Raises nothing: every condition that `domain/filters.py` accepts has a translation."""
    match condition:
        case AllOf(conditions):
            return terms.all_of([translate(part, terms) for part in conditions])
        case OneOf(conditions):
            return terms.one_of([translate(part, terms) for part in conditions])
        case Not(inner):
            return terms.none_of([translate(inner, terms)])
        case Exists(field):
            return terms.none_of([terms.is_empty(payload_path(field))])
        case AnyOf(field, values):
            equalities: list[Filter | Clause] = [*_equalities(field, values, terms)]
            return terms.one_of(equalities)
        case InRange():
            return terms.all_of([_range(condition, terms)])


def query_filter(
    condition: Condition | None, exclude: Sequence[str], terms: FilterBuilder[Filter, Clause]
) -> Filter | None:
    """Return the filter of a query that leaves out the image ids `exclude`, or None if neither is given."""
    left_out = terms.none_of([terms.points([point_id(image_id) for image_id in exclude])]) if exclude else None
    if condition is None:
        return left_out
    wanted = translate(condition, terms)
    return wanted if left_out is None else terms.all_of([wanted, left_out])


def after_cursor_filter(cursor: Cursor, terms: FilterBuilder[Filter, Clause]) -> Filter:
    """Return the filter for the rest of a newest-first listing after a cursor."""
    not_newer = terms.times("indexed_at", {"lte": as_rfc3339(cursor.before)})
    return terms.all_of([not_newer, terms.none_of([terms.points(cursor.seen)])])


def content_filter(sha256: str, terms: FilterBuilder[Filter, Clause]) -> Filter:
    """Return the filter for the records of one content."""
    return terms.all_of([terms.value("sha256", sha256)])


def unchanged_since_filter(record: ImageRecord, terms: FilterBuilder[Filter, Clause]) -> Filter:
    """Return the filter for an image that was not written, replaced or deleted since `record` was read.

    Writes by a version without revisions are noticed only if they change the bytes.
    """
    same = terms.is_empty(REVISION) if record.revision is None else terms.value(REVISION, record.revision)
    return terms.all_of([terms.points([point_id(record.image_id)]), terms.value("sha256", record.sha256), same])


def missing_indexes(condition: Condition, present: Iterable[str]) -> dict[str, IndexKind]:
    """Return `wanted_indexes` without the paths in `present`, which have an index."""
    # Qdrant lists a path without unnecessary quotes, and names never contain a quote.
    bare = {path.replace('"', "") for path in present}
    return {path: kind for path, kind in wanted_indexes(condition).items() if path.replace('"', "") not in bare}


def index_room(present: Iterable[str], limit: int = MAX_FIELD_INDEXES) -> int:
    """Return how many metadata fields may get an index in addition to those in `present`."""
    return limit - sum(metadata_field(path) is not None for path in present)


def wanted_indexes(condition: Condition) -> dict[str, IndexKind]:
    """Return the payload paths that a condition reads, each with the type of index that serves it."""
    match condition:
        case AllOf(conditions) | OneOf(conditions):
            return {path: kind for part in conditions for path, kind in wanted_indexes(part).items()}
        case Not(inner):
            return wanted_indexes(inner)
        case AnyOf(field, values):
            if all(isinstance(value, str) for value in values):
                return {payload_path(field): IndexKind.KEYWORD}
            if any(_is_number(value) for value in values):
                return {payload_path(field): IndexKind.FLOAT}
            return {}
        case InRange():
            return {_range_path(condition): IndexKind.DATETIME if _is_timed(condition) else IndexKind.FLOAT}
        case Exists():
            return {}


def _equalities(field: str, values: tuple[Scalar, ...], terms: FilterBuilder[Filter, Clause]) -> Iterator[Clause]:
    path = payload_path(field)
    if texts := [value for value in values if isinstance(value, str)]:
        yield terms.any_text(path, texts)
    for value in values:
        if isinstance(value, bool):
            yield terms.value(BOOLEANS, boolean_term(field, value=value))
        elif isinstance(value, int) and _EXACT_INTEGERS <= abs(value) < 2**63:
            yield terms.value(path, value)
        elif _is_number(value):
            # A range, so that 1 and 1.0 are the same number, as in JSON.
            yield terms.numbers(path, {"gte": float(value), "lte": float(value)})


def _range(condition: InRange, terms: FilterBuilder[Filter, Clause]) -> Clause:
    path, bounds = _range_path(condition), _bounds(condition)
    times = {name: as_rfc3339(bound) for name, bound in bounds.items() if isinstance(bound, datetime)}
    if times:
        return terms.times(path, times)
    return terms.numbers(path, {name: bound for name, bound in bounds.items() if not isinstance(bound, datetime)})


def _range_path(condition: InRange) -> str:
    return f'{TIMES}."{condition.field}"' if _is_timed(condition) else payload_path(condition.field)


def _is_timed(condition: InRange) -> bool:
    return any(isinstance(bound, datetime) for bound in _bounds(condition).values())


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bounds(condition: InRange) -> dict[str, float | datetime]:
    names = ("gt", "gte", "lt", "lte")
    return {name: bound for name in names if (bound := getattr(condition, name)) is not None}
