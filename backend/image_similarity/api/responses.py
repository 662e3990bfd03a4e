"""Successful answers."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import Response


class JsonResponse(Response):
    """A dictionary as JSON; not validated again, because our own code built it."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return orjson.dumps(content, option=orjson.OPT_UTC_Z)


_FOR_EVER = "private, max-age=31536000, immutable"


def image_answer(
    data: bytes, *, media_type: str, etag: str, if_none_match: str | None, for_ever: bool = False
) -> Response:
    """Return an image, or 304 if the caller has it already.

    An id may get other bytes at any time, so a browser must revalidate each time, which saves the transfer; `for_ever`
    if the URL names the bytes. A browser must never show uploaded bytes as a page: no sniffing, and a sandbox in case
    it does.
    """
    headers = {
        "ETag": f'"{etag}"',
        "Cache-Control": _FOR_EVER if for_ever else "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if if_none_match is not None and f'"{etag}"' in if_none_match:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)
