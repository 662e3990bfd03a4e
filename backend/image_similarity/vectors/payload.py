"""Converts records to payloads of points and back; shared by both stores."""

from __future__ import annotations

from dataclasses import asdict
from dataclasses import fields as fields_of
from datetime import datetime
from typing import Any

import orjson
from uuid_utils import uuid7

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.domain.filters import read_time
from image_similarity.domain.metadata import as_rfc3339, flatten_metadata
from image_similarity.domain.records import ImageRecord, Match, Metadata, Tagging
from image_similarity.vectors.keywords import keyword_fields

VECTOR = "image"
"""Name of the vector of a point; further vectors (text, sparse) would get their own names."""

BOOLEANS = "booleans"
"""Payload field of texts like `in_stock=true`, because Edge 0.9 reads a boolean in a match as the number 1 or 0."""

TIMES = "times"
"""Payload field of the times in each metadata field. Edge 0.9 looks up a number in an index of times, and a time in an
index of numbers, and returns wrong results; so the two must never share a field."""

EXACT = "metadata_json"
"""Payload field of the metadata as JSON text, if `metadata` alone would lose something (see `to_payload`)."""

REVISION = "revision"
"""Payload field of a UUID that every write of the metadata replaces, so that the next write notices another one in
between; points of an earlier version have none."""

MATCH_FIELDS = ("image_id", "sha256", "width", "height")
"""Fields that `to_match` reads, besides the metadata."""

SCORE_ROUNDING = 1e-6
"""A threshold is lowered by this: Qdrant leaves out a score equal to it, and by rounding an image's score with itself
is not exactly 1."""

_RECORD_FIELDS = {field.name for field in fields_of(ImageRecord)}
"""Other fields of a payload are derived from these, or were written by a later version."""

_WIRE_DEPTH = 20
"""Levels of metadata that are sent unchanged. gRPC reads at most 100 nested messages, three per level."""


def to_payload(record: ImageRecord, *, for_wire: bool = False) -> dict[str, Any]:
    """Return a record as a payload.

    gRPC has signed 64-bit integers and a limited depth. With `for_wire`, metadata beyond that is also sent as text,
    which `to_record` reads back; filters see only the part that fits.
    """
    fields = metadata_fields(record.metadata, record.tagging, for_wire=for_wire)
    written = {name: value for name, value in fields.items() if value is not None}
    others = {name: value for name, value in asdict(record).items() if name not in fields}
    return {**others, "indexed_at": as_rfc3339(record.indexed_at), **written}


def metadata_fields(metadata: Metadata, tagging: Tagging | None, *, for_wire: bool = False) -> dict[str, Any]:
    """Return all payload fields derived from the metadata, with a new revision; None for a field that must be absent.

    Setting them changes only the metadata of a point, because setting a field to null removes it.
    """
    fields: dict[str, Any] = {"metadata": metadata, BOOLEANS: None, TIMES: None, EXACT: None}
    fields |= _typed_fields(metadata) | keyword_fields(metadata)
    fields[REVISION] = str(uuid7())
    fields["tagging"] = None if tagging is None else asdict(tagging) | {"filled": list(tagging.filled)}
    if for_wire:
        fitting = _fit(metadata, 0)
        text = orjson.dumps(metadata)
        # Compare the texts, because for Python 2**63 equals its float.
        if orjson.dumps(fitting) != text:
            fields |= {"metadata": fitting, EXACT: text.decode()}
    return fields


def to_record(payload: dict[str, Any] | None) -> ImageRecord:
    """Read a record back from a payload. Raises StoreUnavailable for a point without one."""
    if payload is None:
        raise StoreUnavailable("The vector store returned an image without its record.")
    fields = {key: value for key, value in payload.items() if key in _RECORD_FIELDS}
    fields |= {"indexed_at": datetime.fromisoformat(fields["indexed_at"]), "metadata": payload_metadata(payload)}
    fields["tagging"] = Tagging.read(fields.get("tagging"))
    return ImageRecord(**fields)


def to_match(payload: dict[str, Any] | None, score: float, *, with_metadata: bool, cosine: bool) -> Match:
    """Read a hit back; `payload` holds the fields of `match_fields`, and `cosine` is True for a cosine as score."""
    payload = payload or {}
    if cosine:
        # Rounding in float32 can exceed 1 slightly.
        score = min(1.0, max(-1.0, score))
    return Match(
        score=score,
        **{name: payload[name] for name in MATCH_FIELDS},
        metadata=payload_metadata(payload) if with_metadata else None,
    )


def match_fields(*, with_metadata: bool, field: str | None = None) -> list[str]:
    """Return the payload fields that a search reads; of the metadata only `field`, named as in a filter, if given."""
    if field is not None:
        return [*MATCH_FIELDS, payload_path(field)]
    return [*MATCH_FIELDS, "metadata", EXACT] if with_metadata else [*MATCH_FIELDS]


def payload_path(field: str) -> str:
    """Return the path of a metadata field in the payload; quoted, because a name may contain any character."""
    return ".".join(["metadata", *(f'"{step}"' for step in field.split("."))])


def metadata_field(path: str) -> str | None:
    """Return the metadata field of a payload path, quoted or not; None for another field of the payload."""
    root, _, field = path.replace('"', "").partition(".")
    return field if root in ("metadata", TIMES) else None


def boolean_term(field: str, *, value: bool) -> str:
    """Return the text in `BOOLEANS` for a metadata field with this value."""
    return f"{field}={'true' if value else 'false'}"


def payload_metadata(payload: dict[str, Any]) -> Metadata:
    """Return the metadata as it was given; `payload` holds `metadata` and, if there is one, `EXACT`."""
    text = payload.get(EXACT)
    metadata: Metadata = orjson.loads(text) if text is not None else payload.get("metadata", {})
    return metadata


def _fit(value: Any, depth: int) -> Any:
    if isinstance(value, dict | list) and depth > _WIRE_DEPTH:
        return None
    if isinstance(value, dict):
        return {key: _fit(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fit(inner, depth + 1) for inner in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value)
    return value


def _typed_fields(metadata: Metadata) -> dict[str, Any]:
    """Return `BOOLEANS` and `TIMES`, each only if the metadata has such values."""
    booleans: set[str] = set()
    times: dict[str, list[str]] = {}
    for field, value in flatten_metadata(metadata):
        if isinstance(value, bool):
            booleans.add(boolean_term(field, value=value))
        elif isinstance(value, str) and (moment := read_time(value)) is not None:
            times.setdefault(field, []).append(as_rfc3339(moment))
    return ({BOOLEANS: sorted(booleans)} if booleans else {}) | ({TIMES: times} if times else {})
