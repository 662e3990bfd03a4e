"""Authentication by API key."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256

from fastapi import Request
from pydantic import SecretStr
from starlette.datastructures import Headers

from image_similarity.api.errors import ProblemError
from image_similarity.api.guesses import WrongKeys, client_address


class ApiKeyAuth:
    """A dependency that admits requests with one of the keys; without keys it admits all requests."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._keys = [
            (spelling, fingerprint(key.get_secret_value()))
            for key in keys
            for spelling in _spellings(key.get_secret_value())
        ]
        self._wrong = WrongKeys()

    async def __call__(self, request: Request) -> None:
        """Raise ProblemError: 401 without a valid key, 429 while too many wrong keys of the address wait for an answer.

        The log line of the request gets the key's fingerprint.
        """
        if not self._keys:
            return
        given = _given(request.headers)
        # Every key is compared, in constant time, so that an answer's delay reveals nothing about any of them.
        matches = [name for key, name in self._keys if hmac.compare_digest(key, given)]
        name = matches[0] if given and matches else None
        address = client_address(request.scope)
        if self._wrong.crowded(address, name):
            raise ProblemError(
                429, "too_many_wrong_keys", "Wait until the last wrong keys are answered.", {"Retry-After": "2"}
            )
        if name is not None:
            request.scope["api_key"] = name
            self._wrong.worked(address, name)
        else:
            if given:
                await self._wrong.failed(address)
            raise ProblemError(
                401,
                "unauthorized",
                "Send one of the server's API keys as X-API-Key or as a Bearer token.",
                {"WWW-Authenticate": "Bearer"},
            )


def fingerprint(key: str) -> str:
    """Return the name of a key in the log: the first 8 hex digits of its SHA-256."""
    return sha256(key.encode()).hexdigest()[:8]


def _given(headers: Headers) -> bytes:
    """Return the bytes of the key that a request carries; empty if it carries none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = headers.get("x-api-key") or (token if scheme.lower() == "bearer" else "")
    # Headers are decoded as Latin-1, which has a letter for every byte.
    return given.strip().encode("latin-1")


def _spellings(key: str) -> list[bytes]:
    """Return the bytes that clients send for a key: programs write UTF-8, browsers Latin-1 if that has its letters."""
    try:
        return list(dict.fromkeys((key.encode(), key.encode("latin-1"))))
    except UnicodeEncodeError:
        return [key.encode()]
