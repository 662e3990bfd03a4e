"""Reads metadata fields and their values from the indexes of a collection; shared by both stores."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.domain.facets import FieldKind
from image_similarity.domain.metadata import flatten_metadata
from image_similarity.telemetry.logging import get_logger
from image_similarity.vectors.base import IndexedFacet
from image_similarity.vectors.filters import IndexKind
from image_similarity.vectors.payload import BOOLEANS, TIMES, metadata_field

MOST_BOOLEANS = 1000
"""Terms such as `in_stock=true` per request: 500 fields."""


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a payload field."""

    kind: IndexKind
    points: int
    """Number of points in it."""


class FacetQueries(Protocol):
    """Queries to one Qdrant library; they raise StoreUnavailable."""

    async def texts(self, path: str, limit: int) -> list[tuple[str, int]]:
        """Return up to `limit` texts of an indexed field, the most frequent first, each with its number of points."""
        ...

    async def ends(self, path: str) -> list[dict[str, Any]]:
        """Return the payloads of the points with the smallest and the greatest value; empty if no point has one."""
        ...


async def indexed_facets(indexes: Mapping[str, Index], queries: FacetQueries, *, values: int) -> list[IndexedFacet]:
    """Return the facet of every index (by payload path), with up to `values` values each. Raises StoreUnavailable."""
    asked = [_ask(path, index, queries, values) for path, index in indexes.items() if metadata_field(path)]
    found = await asyncio.gather(*asked)
    booleans = await queries.texts(BOOLEANS, MOST_BOOLEANS)
    return [facet for facet in found if facet is not None and facet.images] + _booleans(booleans)


async def _ask(path: str, index: Index, queries: FacetQueries, values: int) -> IndexedFacet | None:
    field = metadata_field(path) or ""
    try:
        if index.kind is IndexKind.KEYWORD:
            return IndexedFacet(field, FieldKind.TEXT, index.points, tuple(await queries.texts(path, values)))
        ends = [end for payload in await queries.ends(path) for end in _values(payload, field, index.kind)]
    except StoreUnavailable as error:
        # For example an index that is still being built: the result lacks this field, but is not wrong.
        get_logger().warning("facet_failed", field=field, error=str(error))
        return None
    if not ends:
        return None
    kind = FieldKind.NUMBER if index.kind is IndexKind.FLOAT else FieldKind.TIME
    return IndexedFacet(field, kind, index.points, minimum=min(ends), maximum=max(ends))


def _values(payload: dict[str, Any], field: str, kind: IndexKind) -> Sequence[Any]:
    if kind is IndexKind.DATETIME:
        times: Sequence[str] = payload.get(TIMES, {}).get(field, ())
        return times
    values = (value for name, value in flatten_metadata(payload.get("metadata", {})) if name == field)
    return [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]


def _booleans(terms: Sequence[tuple[str, int]]) -> list[IndexedFacet]:
    fields: dict[str, list[tuple[bool, int]]] = {}
    for term, count in terms:
        field, _, value = term.rpartition("=")
        fields.setdefault(field, []).append((value == "true", count))
    return [
        IndexedFacet(field, FieldKind.BOOLEAN, sum(count for _, count in values), tuple(values))
        for field, values in fields.items()
    ]
