"""The filters of `vectors/filters.py`, and records, as objects of Qdrant Edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import qdrant_edge as edge

from image_similarity.domain.records import Embedding, ImageRecord
from image_similarity.vectors.base import point_id
from image_similarity.vectors.filters import IndexKind
from image_similarity.vectors.payload import VECTOR, to_payload

Clause = edge.FieldCondition | edge.IsEmptyCondition | edge.HasIdCondition

INDEX_TYPES = {
    IndexKind.KEYWORD: edge.PayloadSchemaType.Keyword,
    IndexKind.FLOAT: edge.PayloadSchemaType.Float,
    IndexKind.DATETIME: edge.PayloadSchemaType.Datetime,
    IndexKind.UUID: edge.PayloadSchemaType.Uuid,
}


class EdgeFilterBuilder:
    """Implements `FilterBuilder`."""

    def all_of(self, parts: Sequence[edge.Filter | Clause]) -> edge.Filter:
        """Every part holds."""
        return edge.Filter(must=list(parts))

    def one_of(self, parts: Sequence[edge.Filter | Clause]) -> edge.Filter:
        """At least one part holds."""
        return edge.Filter(should=list(parts))

    def none_of(self, parts: Sequence[edge.Filter | Clause]) -> edge.Filter:
        """No part holds."""
        return edge.Filter(must_not=list(parts))

    def is_empty(self, path: str) -> Clause:
        """The field is missing, null or an empty list."""
        return edge.IsEmptyCondition(path)

    def any_text(self, path: str, texts: list[str]) -> Clause:
        """The field has one of the texts."""
        return edge.FieldCondition(path, match=edge.MatchAny(texts))

    def value(self, path: str, value: str | int) -> Clause:
        """The field has the value."""
        return edge.FieldCondition(path, match=edge.MatchValue(value))

    def numbers(self, path: str, bounds: dict[str, float]) -> Clause:
        """The field is a number within the bounds."""
        return edge.FieldCondition(path, range=edge.RangeFloat(**bounds))

    def times(self, path: str, bounds: dict[str, str]) -> Clause:
        """The field is a time within the bounds."""
        return edge.FieldCondition(path, range=edge.RangeDateTime(**bounds))

    def points(self, ids: Sequence[str]) -> Clause:
        """The point is one of these."""
        return edge.HasIdCondition(set(ids))


def to_point(record: ImageRecord, vector: Embedding) -> edge.Point:
    """Return a record and its vector as a point."""
    # The type stub demands a list, but Edge takes any sequence of floats, and an array far faster.
    named: Any = {VECTOR: vector}
    return edge.Point(id=point_id(record.image_id), vector=named, payload=to_payload(record))


def to_vector(point: edge.Record) -> Embedding:
    """Return a point's vector, shape (dimension,), float32."""
    vectors: Any = point.vector
    return np.asarray(vectors[VECTOR], dtype=np.float32)
