"""The filter language: conditions as types, and a parser from JSON to a `Condition`.

    {"species": "cat"}                          equality
    {"species": ["cat", "dog"]}                 any of these
    {"year": {"gte": 2000, "lt": 2010}}         a range of numbers, or of RFC 3339 times
    {"owner": null}                             missing or null
    {"camera.model": {"ne": "X100"}}            a nested field; operators below
    {"or": [{…}, {…}]}, {"and": […]}, {"not": {…}}

Several keys in one object must all hold. Operators: eq, ne, in, not_in, gt, gte, lt, lte, exists.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from image_similarity.domain.errors import InvalidFilter

Scalar = str | int | float | bool
"""A value that a filter can compare."""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The field has one of the values; a list matches if one of its elements does."""

    field: str
    """Path into the metadata, its steps joined by dots."""
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class InRange:
    """The field is a number, or an RFC 3339 time, within the bounds; at least one bound is given."""

    field: str
    gt: float | datetime | None = None
    gte: float | datetime | None = None
    lt: float | datetime | None = None
    lte: float | datetime | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is there and neither null nor an empty list."""

    field: str


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every condition holds."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class OneOf:
    """At least one condition holds."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    condition: Condition


Condition = AnyOf | InRange | Exists | AllOf | OneOf | Not
"""Condition on the metadata of results; `parse_filter` reads it from JSON."""

MAX_DEPTH = 8
"""Levels of and/or/not; deeper filters are mistakes or attacks."""

MAX_CONDITIONS = 256
"""Leaves, counting each value of an any-of list; keeps one search cheap."""

MAX_FIELDS = 16
"""Fields per filter: for each field without an index the store scans the collection."""

MAX_FIELD_NAME = 256
"""Characters in the name of a field."""

MAX_FIELD_STEPS = 32
"""Steps in a path into nested objects."""

_COMBINATIONS = ("and", "or", "not")
_BOUNDS = ("gt", "gte", "lt", "lte")
_OPERATORS = ("eq", "ne", "in", "not_in", *_BOUNDS, "exists")


def parse_filter(raw: object) -> Condition:
    """Read a filter from parsed JSON.

    Raises InvalidFilter, whose text names the offending part and what would be accepted there.
    """
    return _Parser().parse_object(raw, depth=0)


def read_time(text: str) -> datetime | None:
    """Return an RFC 3339 time or a date in UTC; without a zone it is taken as UTC. None for any other text."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    # OverflowError: the first or last day of the calendar, in a zone that pushes it out of range.
    except (ValueError, OverflowError):
        return None


def is_field(name: str) -> bool:
    """Return whether `name` can name a metadata field in a filter."""
    try:
        return name not in _COMBINATIONS and bool(_check_field(name))
    except InvalidFilter:
        return False


class _Parser:
    """Recursive descent; counts the conditions and fields read so far."""

    def __init__(self) -> None:
        self._budget = MAX_CONDITIONS
        self._fields: set[str] = set()
        self._readers: dict[str, Callable[[str, object], Condition]] = {
            "eq": self._equals,
            "ne": lambda field, value: Not(self._equals(field, value)),
            "in": self._any_of,
            "not_in": lambda field, value: Not(self._any_of(field, value)),
            "exists": self._exists,
        }

    def parse_object(self, raw: object, *, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            raise InvalidFilter(f"The filter is nested more than {MAX_DEPTH} levels deep.")
        if not isinstance(raw, dict):
            raise InvalidFilter(f'A filter is a JSON object such as {{"species": "cat"}}, not {_show(raw)}.')
        if not raw:
            raise InvalidFilter("The filter is empty; leave it out to search without one.")
        return _join(AllOf, [self._parse_entry(key, value, depth) for key, value in raw.items()])

    def _parse_entry(self, key: str, value: object, depth: int) -> Condition:
        match key:
            case "and":
                return _join(AllOf, self._parse_list(key, value, depth))
            case "or":
                return _join(OneOf, self._parse_list(key, value, depth))
            case "not":
                return Not(self.parse_object(value, depth=depth + 1))
            case _:
                return self._parse_field(self._count_field(_check_field(key)), value)

    def _parse_list(self, key: str, value: object, depth: int) -> list[Condition]:
        if not isinstance(value, list) or not value:
            raise InvalidFilter(f'"{key}" takes a non-empty list of filters, not {_show(value)}.')
        return [self.parse_object(item, depth=depth + 1) for item in value]

    def _parse_field(self, field: str, value: object) -> Condition:
        if isinstance(value, dict):
            return self._parse_operators(field, value)
        if isinstance(value, list):
            return self._any_of(field, value)
        return self._equals(field, value)

    def _parse_operators(self, field: str, operators: dict[str, Any]) -> Condition:
        if unknown := [name for name in operators if name not in _OPERATORS]:
            raise InvalidFilter(
                f'"{field}" has the unknown operator "{unknown[0][:60]}"; known: {", ".join(_OPERATORS)}. '
                'Fields of a nested object are written with a dot: {"camera.model": …}.'
            )
        if not operators:
            raise InvalidFilter(f'"{field}" has an empty object; known operators: {", ".join(_OPERATORS)}.')
        conditions: list[Condition] = []
        if bounds := {name: _bound(field, name, operators[name]) for name in _BOUNDS if name in operators}:
            if len({isinstance(bound, datetime) for bound in bounds.values()}) > 1:
                raise InvalidFilter(f'The range of "{field}" mixes numbers and times.')
            self._spend(1)
            conditions.append(InRange(field, **bounds))
        conditions += [read(field, operators[name]) for name, read in self._readers.items() if name in operators]
        return _join(AllOf, conditions)

    def _equals(self, field: str, value: object) -> Condition:
        self._spend(1)
        return Not(Exists(field)) if value is None else AnyOf(field, (_scalar(field, value),))

    def _any_of(self, field: str, values: object) -> Condition:
        if not isinstance(values, list) or not values:
            raise InvalidFilter(f'"{field}" takes a non-empty list of values, not {_show(values)}.')
        self._spend(len(values))
        return AnyOf(field, tuple(_scalar(field, value) for value in values))

    def _exists(self, field: str, value: object) -> Condition:
        if not isinstance(value, bool):
            raise InvalidFilter(f'"exists" on "{field}" takes true or false, not {_show(value)}.')
        self._spend(1)
        return Exists(field) if value else Not(Exists(field))

    def _count_field(self, field: str) -> str:
        self._fields.add(field)
        if len(self._fields) > MAX_FIELDS:
            raise InvalidFilter(f"The filter names more than {MAX_FIELDS} fields; ask for fewer of them at a time.")
        return field

    def _spend(self, conditions: int) -> None:
        self._budget -= conditions
        if self._budget < 0:
            raise InvalidFilter(f"The filter has more than {MAX_CONDITIONS} conditions.")


def _join(kind: Callable[[tuple[Condition, ...]], Condition], conditions: list[Condition]) -> Condition:
    return conditions[0] if len(conditions) == 1 else kind(tuple(conditions))


def _check_field(field: str) -> str:
    if len(field) > MAX_FIELD_NAME or field.count(".") >= MAX_FIELD_STEPS:
        raise InvalidFilter(
            f"{_show(field)} is too long a field name: it has at most {MAX_FIELD_NAME} characters and "
            f"{MAX_FIELD_STEPS} steps."
        )
    # The store delimits the steps of a path by quotes, so a quote in a name could be misread there.
    if not field or '"' in field or "\\" in field or not all(field.split(".")) or not _is_unicode(field):
        raise InvalidFilter(
            f"{_show(field)} is not a field name: steps are joined by single dots and hold no quotes or backslashes."
        )
    return field


def _scalar(field: str, value: object) -> Scalar:
    if isinstance(value, int | float) and not _is_finite(value):
        raise InvalidFilter(f'"{field}" is compared with {_show(value)}, which is not a finite number.')
    if isinstance(value, int | float) or (isinstance(value, str) and _is_unicode(value)):
        return value
    raise InvalidFilter(f'"{field}" is compared with {_show(value)}; a string, number or boolean is expected.')


def _bound(field: str, name: str, value: object) -> float | datetime:
    if isinstance(value, str):
        if (moment := read_time(value)) is not None:
            return moment
    elif isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value):
        return float(value)
    raise InvalidFilter(f'"{name}" of "{field}" takes a number or an RFC 3339 time, not {_show(value)}.')


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:
        # An integer too large for a float.
        return False


def _is_unicode(text: str) -> bool:
    # JSON can contain half of a surrogate pair, which no store can encode.
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _show(value: object) -> str:
    try:
        text = repr(value)
    # Nested too deeply, or an integer with more digits than Python converts to text.
    except (RecursionError, ValueError):
        return f"this {type(value).__name__}, which is too large to show"
    return text if len(text) <= 60 else f"{text[:57]}…"
