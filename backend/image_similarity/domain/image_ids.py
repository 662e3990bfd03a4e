"""Checks the ids that callers give, and makes ids for images that come without one."""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5

from uuid_utils import uuid7

from image_similarity.domain.errors import InvalidRequest

MAX_IMAGE_ID = 512
"""Characters."""


def check_image_id(image_id: str) -> str:
    """Return the id. Raises InvalidRequest if it could not be stored or written in a URL."""
    if not 0 < len(image_id) <= MAX_IMAGE_ID or not image_id.isprintable() or image_id in {".", ".."}:
        raise InvalidRequest(
            f'image_id must be 1 to {MAX_IMAGE_ID} printable characters, and neither "." nor ".."; '
            f"got {image_id[:60]!r}."
        )
    return image_id


def new_image_id(request_key: str | None, sha256: str) -> str:
    """Return an id for an image without one: a new UUIDv7, or with a `request_key` a UUIDv5 of key and bytes."""
    return str(uuid7()) if request_key is None else str(uuid5(NAMESPACE_OID, f"{request_key}\n{sha256}"))
