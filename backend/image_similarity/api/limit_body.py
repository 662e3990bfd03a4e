"""Limits of the size of a request's body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from image_similarity.api.requests.batch import UPLOAD_TYPES
from image_similarity.domain.errors import BodyTooLarge


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """In bytes."""

    in_memory: int
    to_disk: Mapping[str, int]
    """By path, for bodies of UPLOAD_TYPES. Bodies of any other type may have to be held in memory."""

    def of(self, scope: Scope) -> int:
        """Return the limit of a request."""
        given = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
        return self.to_disk.get(scope["path"], self.in_memory) if given in UPLOAD_TYPES else self.in_memory


class BodyLimitMiddleware:
    """Raises BodyTooLarge if a body exceeds its limit: at once from its declared length, else as it arrives."""

    def __init__(self, app: ASGIApp, limits: BodyLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        limit = self._limits.of(scope)
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            if declared.isdigit() and int(declared) > limit:
                raise _too_large(int(declared), limit)
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(received, limit)
            return message

        await self._app(scope, receive_limited, send)


def _too_large(size: int, limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request body has at least {size} bytes; the limit is {limit}.")
