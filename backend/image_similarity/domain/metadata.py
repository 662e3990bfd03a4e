"""Metadata of images: checks, merge patches, and the fields that a filter can reach."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.records import Metadata

MAX_METADATA_BYTES = 64 * 1024
"""Size of one image's metadata as JSON, in bytes."""

MAX_METADATA_DEPTH = 32
"""Levels of objects and lists. The vector store can write deeper metadata than it can read: one image with 125 levels
would make every filtered search fail."""


def check_metadata(metadata: Metadata) -> Metadata:
    """Return the metadata as read back from JSON. Raises InvalidRequest if it is not JSON or exceeds the limits."""
    try:
        text = orjson.dumps(metadata)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"metadata is not JSON: {error}.") from error
    if len(text) > MAX_METADATA_BYTES:
        raise InvalidRequest(f"metadata is {len(text)} bytes as JSON; the limit is {MAX_METADATA_BYTES}.")
    plain: Metadata = orjson.loads(text)
    if _depth(plain) > MAX_METADATA_DEPTH:
        raise InvalidRequest(f"metadata is nested deeper than {MAX_METADATA_DEPTH} levels, which is the limit.")
    return plain


def merge_patch(metadata: Metadata, patch: Metadata) -> Metadata:
    """Apply a JSON Merge Patch (RFC 7396) and return the result: null removes a key, objects are merged."""
    merged = dict(metadata)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            before = merged.get(key)
            merged[key] = merge_patch(before if isinstance(before, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def same_metadata(one: Metadata, other: Metadata) -> bool:
    """Return whether both are the same JSON. `==` would not do: for Python 1, 1.0 and True are equal."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def as_rfc3339(moment: datetime) -> str:
    """Return a time in the format of the store: UTC, microseconds; a time without a zone is taken as UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return aware.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def flatten_metadata(metadata: Metadata, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (field, value) for everything that a filter can reach; each element of a list separately."""
    for key, value in metadata.items():
        # A dot in a filter is a step of a path, so no filter can reach a key that contains a dot.
        if not key or "." in key:
            continue
        field = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from flatten_metadata(value, field)
        elif isinstance(value, list):
            yield from ((field, element) for element in value)
        else:
            yield field, value
