"""Summaries of the metadata fields of a collection."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from image_similarity.domain.filters import Scalar


class FieldKind(StrEnum):
    """Type of the values of a metadata field."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    """RFC 3339 strings, which a filter can compare as times."""


@dataclass(frozen=True, slots=True)
class FacetValue:
    """One value of a metadata field."""

    value: Scalar
    """A time is in UTC, with microseconds."""
    count: int
    """Images that have this value."""


@dataclass(frozen=True, slots=True)
class Facet:
    """One metadata field of the collection."""

    field: str
    """As a filter names it: steps into nested objects are joined by dots."""
    kind: FieldKind
    """The type of most values; values of other types are left out."""
    images: int
    """Number of images that have the field."""
    values: tuple[FacetValue, ...]
    """Most frequent first."""
    more_values: bool
    minimum: float | str | None
    """Smallest number or time; None for other kinds."""
    maximum: float | str | None
    exact: bool
    """False if the figures are estimates for the whole collection."""


@dataclass(frozen=True, slots=True)
class Facets:
    """The metadata fields of a collection, the most frequent first."""

    fields: tuple[Facet, ...]
    more_fields: bool
    images: int
    """Number of images in the collection."""
    sampled: int
    """Number of images whose metadata was read, the newest first."""
    exact: bool
    """Whether all images were read."""
