"""A record as a point's payload and back; the same in the embedded store and on a server."""

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
"""Name of the one vector of a point; later ones (text, sparse) get names of their own."""

BOOLEANS = "booleans"
"""Payload field of texts like `in_stock=true`: Edge 0.9 reads a boolean to match as the number 1 or 0."""

TIMES = "times"
"""Payload field of the times in each metadata field: Edge 0.9 looks a number up in an index of times, and a time in an
index of numbers, and finds nonsense; so the two must never share a field."""

EXACT = "metadata_json"
"""Payload field of the metadata as JSON text, where `metadata` alone would not bring it back (see `to_payload`)."""

REVISION = "revision"
"""Payload field of a UUID that every write of the metadata makes anew, so that the next can tell whether another came
in between; points of an earlier version have none."""

MATCH_FIELDS = ("image_id", "sha256", "width", "height")
"""What `to_match` reads, the metadata aside."""

SCORE_ROUNDING = 1e-6
"""What a threshold is lowered by: Qdrant leaves out a score that equals it, and rounding puts an image's score with
itself beside 1."""

_RECORD_FIELDS = {field.name for field in fields_of(ImageRecord)}
"""Whatever else a payload holds follows from them, or a later version has put it there."""

_WIRE_DEPTH = 20
"""Levels of metadata that are sent as they are. gRPC reads back 100 nested messages, three a level."""


def to_payload(record: ImageRecord, *, for_wire: bool = False) -> dict[str, Any]:
    """Return a record as a payload.

    gRPC knows whole numbers of 64 bits with a sign, and nests only so deep. With `for_wire`, metadata beyond that
    is sent as text too, which is what comes back; filters see what fits.
    """
    fields = metadata_fields(record.metadata, record.tagging, for_wire=for_wire)
    written = {name: value for name, value in fields.items() if value is not None}
    others = {name: value for name, value in asdict(record).items() if name not in fields}
    return {**others, "indexed_at": as_rfc3339(record.indexed_at), **written}


def metadata_fields(metadata: Metadata, tagging: Tagging | None, *, for_wire: bool = False) -> dict[str, Any]:
    """Return all payload fields that follow from the metadata; None is for a field that is not to be there.

    Setting them, which removes those that are null, is thus a change of the metadata alone. They have a new revision.
    """
    fields: dict[str, Any] = {"metadata": metadata, BOOLEANS: None, TIMES: None, EXACT: None}
    fields |= _typed_fields(metadata) | keyword_fields(metadata)
    fields[REVISION] = str(uuid7())
    fields["tagging"] = None if tagging is None else asdict(tagging) | {"filled": list(tagging.filled)}
    if for_wire:
        fitting = _fit(metadata, 0)
        text = orjson.dumps(metadata)
        # As text, for Python holds 2**63 and the float of it for equal.
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
    """Read a hit back; `payload` holds what `match_fields` names, and `cosine` says what the score is."""
    payload = payload or {}
    if cosine:
        # Rounding in float32 can carry it just past 1.
        score = min(1.0, max(-1.0, score))
    return Match(
        score=score,
        **{name: payload[name] for name in MATCH_FIELDS},
        metadata=payload_metadata(payload) if with_metadata else None,
    )


def match_fields(*, with_metadata: bool, field: str | None = None) -> list[str]:
    """Return the payload fields that a search asks for; of the metadata maybe one field, named as in a filter."""
    if field is not None:
        return [*MATCH_FIELDS, payload_path(field)]
    return [*MATCH_FIELDS, "metadata", EXACT] if with_metadata else [*MATCH_FIELDS]


def payload_path(field: str) -> str:
    """Return the path of a metadata field in the payload; quoted, for a name may hold any character."""
    return ".".join(["metadata", *(f'"{step}"' for step in field.split("."))])


def metadata_field(path: str) -> str | None:
    """Return the metadata field that a payload path, quoted or not, leads to; None for a field of our own."""
    root, _, field = path.replace('"', "").partition(".")
    return field if root in ("metadata", TIMES) else None


def boolean_term(field: str, *, value: bool) -> str:
    """Return the text in `BOOLEANS` that says that a metadata field has this value."""
    return f"{field}={'true' if value else 'false'}"


def payload_metadata(payload: dict[str, Any]) -> Metadata:
    """Return the metadata as it was given; `payload` holds `metadata` and, where there is one, `EXACT`."""
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
    """Return `BOOLEANS` and `TIMES`, each where the metadata has such values."""
    booleans: set[str] = set()
    times: dict[str, list[str]] = {}
    for field, value in flatten_metadata(metadata):
        if isinstance(value, bool):
            booleans.add(boolean_term(field, value=value))
        elif isinstance(value, str) and (moment := read_time(value)) is not None:
            times.setdefault(field, []).append(as_rfc3339(moment))
    return ({BOOLEANS: sorted(booleans)} if booleans else {}) | ({TIMES: times} if times else {})
