"""Room on the disk for what a request may write."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import Request

from image_similarity.api.limit_body import BodyLimits
from image_similarity.engine.search_engine import SearchEngine

_WRITING = frozenset({"POST", "PUT", "PATCH"})
"""A deletion writes too, but it is what makes room."""


class RequireRoom:
    """A dependency of all routes that write: as much room as the body may take is kept for as long as it is served.

    Behind the check of the key, because who has none must not keep room from others.
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
        # It does not say; it may be as long as it is allowed to be.
        return limit if "transfer-encoding" in request.headers else 0
