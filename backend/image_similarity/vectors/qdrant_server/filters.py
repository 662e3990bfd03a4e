"""The filters of `vectors/filters.py`, and records, as objects of the Qdrant client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qdrant_client import models

from image_similarity.domain.records import Embedding, ImageRecord
from image_similarity.vectors.base import point_id
from image_similarity.vectors.payload import VECTOR, to_payload

Clause = models.FieldCondition | models.IsEmptyCondition | models.HasIdCondition


class QdrantFilterBuilder:
    """Implements `FilterBuilder`."""

    def all_of(self, parts: Sequence[models.Filter | Clause]) -> models.Filter:
        """Every part holds."""
        return models.Filter(must=list(parts))

    def one_of(self, parts: Sequence[models.Filter | Clause]) -> models.Filter:
        """At least one part holds."""
        return models.Filter(should=list(parts))

    def none_of(self, parts: Sequence[models.Filter | Clause]) -> models.Filter:
        """No part holds."""
        return models.Filter(must_not=list(parts))

    def is_empty(self, path: str) -> Clause:
        """The field is missing, null or an empty list."""
        return models.IsEmptyCondition(is_empty=models.PayloadField(key=path))

    def any_text(self, path: str, texts: list[str]) -> Clause:
        """The field has one of the texts."""
        return models.FieldCondition(key=path, match=models.MatchAny(any=texts))

    def value(self, path: str, value: str | int) -> Clause:
        """The field has the value."""
        return models.FieldCondition(key=path, match=models.MatchValue(value=value))

    def numbers(self, path: str, bounds: dict[str, float]) -> Clause:
        """The field is a number within the bounds."""
        return models.FieldCondition(key=path, range=models.Range(**bounds))

    def times(self, path: str, bounds: dict[str, str]) -> Clause:
        """The field is a time within the bounds."""
        return models.FieldCondition(key=path, range=models.DatetimeRange.model_validate(bounds))

    def points(self, ids: Sequence[str]) -> Clause:
        """The point is one of these."""
        return models.HasIdCondition(has_id=list(ids))


def to_point(record: ImageRecord, vector: Embedding) -> models.PointStruct:
    """Return a record and its vector as a point."""
    return models.PointStruct(
        id=point_id(record.image_id),
        vector={VECTOR: vector.tolist()},
        payload=to_payload(record, for_wire=True),
    )


def to_vector(point: models.Record) -> Embedding:
    """Return a point's vector, shape (dimension,), float32."""
    vectors: Any = point.vector
    return np.asarray(vectors[VECTOR], dtype=np.float32)
