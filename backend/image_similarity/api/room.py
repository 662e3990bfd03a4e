"""Reserve room on the disk for the bytes that a request may write."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import Request

from image_similarity.api.limit_body import BodyLimits
from image_similarity.engine.search_engine import SearchEngine

_WRITING = frozenset({"POST", "PUT", "PATCH"})
"""A deletion writes too, but it makes room."""


class RequireRoom:
    """A dependency of all routes that write: it reserves as much room as the body may take until the request ends.

    It runs after the check of the key, because a caller without a key must not reserve room.
    """

    def __init__(self, limits: BodyLimits) -> None:
        self._limits = limits

    async def __call__(self, request: Request) -> AsyncIterator[None]:
        """Raise DiskFull if there is too little room, StoreUnavailable if a disk does not answer."""
        if request.method not in _WRITING:
            yield
            return
        engine: SearchEngine = request.app.state.engine
        async with engine.disk.hold(self._size(request)):
            yield

    def _size(self, request: Request) -> int:
        declared, limit = request.headers.get("content-length", ""), self._limits.of(request.scope)
        if declared.isdigit():
            return min(int(declared), limit)
        # The length is not declared, so the body may be as long as the limit allows.
        return limit if "transfer-encoding" in request.headers else 0
