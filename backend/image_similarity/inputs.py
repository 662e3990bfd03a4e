"""What callers may call an image, and what they may say of it."""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5

import orjson
from uuid_utils import uuid7

from image_similarity.domain import InvalidRequest, Metadata

MAX_IMAGE_ID = 512
"""Characters."""

MAX_METADATA_BYTES = 64 * 1024
"""Of one image's metadata, as JSON."""

MAX_METADATA_DEPTH = 32
"""Levels of objects and lists. The vector store writes more than it can read back: one image of 125 levels, and
every filtered search would fail."""


def check_image_id(image_id: str) -> str:
    """Return the id. Raises InvalidRequest where it could not be stored or written in a URL."""
    if not 0 < len(image_id) <= MAX_IMAGE_ID or not image_id.isprintable() or image_id in {".", ".."}:
        raise InvalidRequest(
            f'image_id must be 1 to {MAX_IMAGE_ID} printable characters, and neither "." nor ".."; '
            f"got {image_id[:60]!r}."
        )
    return image_id


def new_image_id(request_key: str | None, sha256: str) -> str:
    """Return an id for an image that came without: always another, or one that its request and its bytes fix."""
    return str(uuid7()) if request_key is None else str(uuid5(NAMESPACE_OID, f"{request_key}\n{sha256}"))


def check_metadata(metadata: Metadata) -> Metadata:
    """Return the metadata as JSON reads it back. Raises InvalidRequest where it is not JSON or beyond the limits."""
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
    """Return the metadata as a JSON Merge Patch (RFC 7396) changes it: null removes a key, objects are merged."""
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
    """Tell whether two are the same JSON; Python holds 1, 1.0 and True for equal, which in JSON they are not."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0
