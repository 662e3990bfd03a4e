"""Records, cursors and matches in Qdrant Edge's terms."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

import qdrant_edge as edge

from image_similarity.domain import Condition, Embedding, ImageRecord, Match, StoreUnavailable
from image_similarity.vectors.base import point_id
from image_similarity.vectors.cursor import Cursor
from image_similarity.vectors.edge_filter import BOOLEANS, TIMES, as_rfc3339, to_edge, typed_fields

VECTOR = "image"
"""Name of the one vector of a point; later ones (text, sparse) get names of their own."""


def to_filter(condition: Condition | None, exclude: str | None) -> edge.Filter | None:
    """Return the filter of a query, or None where it has none."""
    if condition is None and exclude is None:
        return None
    return edge.Filter(
        must=[to_edge(condition)] if condition is not None else None,
        must_not=[edge.HasIdCondition({point_id(exclude)})] if exclude is not None else None,
    )


def behind(cursor: Cursor) -> edge.Filter:
    """Return what is left of a newest-first listing behind a cursor."""
    return edge.Filter(
        must=[edge.FieldCondition("indexed_at", range=edge.RangeDateTime(lte=as_rfc3339(cursor.before)))],
        must_not=[edge.HasIdCondition(set(cursor.seen))],
    )


def to_point(record: ImageRecord, vector: Embedding) -> edge.Point:
    """Return a record and its vector as a point."""
    payload = {**asdict(record), "indexed_at": as_rfc3339(record.indexed_at), **typed_fields(record.metadata)}
    return edge.Point(id=point_id(record.image_id), vector={VECTOR: vector}, payload=payload)  # type: ignore[dict-item]


def to_record(payload: dict[str, Any] | None) -> ImageRecord:
    """Read a record back from a payload. Raises StoreUnavailable for a point without one."""
    if payload is None:
        raise StoreUnavailable("The vector store returned an image without its record.")
    fields = {key: value for key, value in payload.items() if key not in (BOOLEANS, TIMES)}
    return ImageRecord(**{**fields, "indexed_at": datetime.fromisoformat(fields["indexed_at"])})


def to_match(point: edge.ScoredPoint, *, with_metadata: bool) -> Match:
    """Read a hit back."""
    payload = point.payload or {}
    # Rounding in float32 can carry a cosine just past 1.
    score = min(1.0, max(-1.0, point.score))
    return Match(payload["image_id"], score, payload.get("metadata", {}) if with_metadata else None)
