"""Who may call."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from fastapi import Request
from pydantic import SecretStr

from image_similarity.api.errors import ProblemError


class RequireKey:
    """A dependency that lets a request pass with one of the keys, or with any where none are set."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._keys = [key.get_secret_value().encode() for key in keys]

    async def __call__(self, request: Request) -> None:
        """Raise ProblemError (401) without a valid key."""
        if not self._keys:
            return
        bearer = request.headers.get("authorization", "")
        given = request.headers.get("x-api-key") or bearer.removeprefix("Bearer ").strip()
        # Every key is compared, in constant time, so that an answer's delay tells nothing about any of them.
        matches = [hmac.compare_digest(key, given.encode()) for key in self._keys]
        if not any(matches):
            raise ProblemError(
                401,
                "unauthorized",
                "Send one of the server's API keys as X-API-Key or as a Bearer token.",
                {"WWW-Authenticate": "Bearer"},
            )
