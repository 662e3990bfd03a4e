"""Explain why a search found nothing, and what to change."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from image_similarity.domain.facets import Facets
from image_similarity.domain.filters import AllOf, AnyOf, Condition, Exists, InRange, Not, OneOf
from image_similarity.domain.queries import AUTO, Mode, Query, SearchOptions

_SHOWN = 10
"""Most existing fields to list."""


def why_nothing(query: Query, options: SearchOptions, threshold: float | None, facets: Facets) -> str:
    """Return the likely reason why nothing was found; `threshold` is the one that applied, None if none did."""
    if not facets.images:
        return "Nothing is indexed yet. Add images with: image-similarity index FOLDER"
    asked = [*fields_of(options.filter), *([options.group_by] if options.group_by else [])]
    if missing := [field for field in dict.fromkeys(asked) if not _has(facets, field)]:
        return _no_field(missing[0], facets)
    if threshold is not None and options.threshold == AUTO:
        return "Nothing stands out from the other images. Leave out --threshold to see the nearest."
    if threshold is not None:
        return f"Nothing scores {threshold:.4f} or more. Lower or leave out --threshold to see the nearest."
    among = "" if options.filter is None else " that passes the filter"
    if query.mode is Mode.KEYWORDS:
        return (
            f'Nothing found: no image{among} has a word of "{query.words}" in its description or tags, which come from '
            "--metadata-json or from a tagger (TAGGER=imagenet)."
        )
    if options.filter is not None:
        return "Nothing found: the fields of the filter are there, but no image passes it."
    return "Nothing found: there is no other image to compare with."


def fields_of(condition: Condition | None) -> Iterator[str]:
    """Yield the fields that a condition requires, in order; fields under `Not` are left out."""
    match condition:
        case AnyOf() | InRange() | Exists():
            yield condition.field
        case AllOf() | OneOf():
            for part in condition.conditions:
                yield from fields_of(part)
        case Not() | None:
            return


def _has(facets: Facets, field: str) -> bool:
    """Return whether images have the field, or an object of that name; also True if not all fields are known."""
    return facets.more_fields or any(f"{each.field}.".startswith(f"{field}.") for each in facets.fields)


def _no_field(field: str, facets: Facets) -> str:
    names = [each.field for each in facets.fields]
    who = "No image has" if facets.exact else f"None of the newest {facets.sampled:,} images has"
    if not names:
        return f'Nothing found: {who.lower() if facets.exact else who} the field "{field}", nor any other.'
    close = get_close_matches(field, names, 1)
    meant = f' Did you mean "{close[0]}"?' if close else ""
    listed = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return f'Nothing found. {who} the field "{field}".{meant} Fields: {listed}.'
