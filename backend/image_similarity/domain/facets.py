"""What a collection knows of its metadata fields."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from image_similarity.domain.filters import Scalar


class FieldKind(StrEnum):
    """What the values of a metadata field are."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    """RFC 3339 texts, which a filter can compare as times."""


@dataclass(frozen=True, slots=True)
class FacetValue:
    """One value of a metadata field."""

    value: Scalar
    """A time is in UTC, with microseconds."""
    count: int
    """Images that have it."""


@dataclass(frozen=True, slots=True)
class Facet:
    """A metadata field that images have."""

    field: str
    """As a filter names it: steps into nested objects are joined by dots."""
    kind: FieldKind
    """That of most of its values; the others are left out."""
    images: int
    """Those that have it."""
    values: tuple[FacetValue, ...]
    """Most frequent first."""
    more_values: bool
    minimum: float | str | None
    """Of numbers and of times; None for other kinds."""
    maximum: float | str | None
    exact: bool
    """False where the figures are estimates for the whole collection."""


@dataclass(frozen=True, slots=True)
class Facets:
    """The metadata fields of a collection, those that most images have first."""

    fields: tuple[Facet, ...]
    more_fields: bool
    images: int
    """In the collection."""
    sampled: int
    """The newest, whose metadata was read."""
    exact: bool
    """Whether that was all of them."""
