"""Calls to a Qdrant server: within a time limit, repeated where that is safe, their failures in our words."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc
import httpx
import stamina
from pydantic import SecretStr
from qdrant_client import AsyncQdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from image_similarity.domain import StoreUnavailable

T = TypeVar("T")

ATTEMPTS = 3
"""Times that a call is tried; a node that restarts takes longer, a lost connection or an elected leader does not."""

MAX_CONNECTIONS = 64
"""Of one process over REST; the client itself would keep none alive to a server on the same machine."""

_FAILURES = (ApiException, ResourceExhaustedResponse, grpc.aio.AioRpcError, grpc.aio.UsageError)
_TRANSIENT_STATUS = {429, 502, 503, 504}

_CHANNEL = {
    # Left alone, gRPC waits up to two minutes before it looks for a server again that was away.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
    # A host that vanished without a goodbye is noticed, and its name looked up again.
    "grpc.keepalive_time_ms": 20_000,
    "grpc.keepalive_timeout_ms": 5_000,
    # A name may stand for every node of a cluster.
    "grpc.lb_policy_name": "round_robin",
}


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the server is and how to talk to it."""

    url: str
    """Of its REST interface."""
    grpc_port: int = 6334
    prefer_grpc: bool = True
    api_key: SecretStr | None = None
    timeout: float = 5.0
    """Seconds for a call, repetitions and pauses included."""


class QdrantCalls:
    """A connection pool; opened at the first call."""

    def __init__(self, connection: Connection) -> None:
        self._url = connection.url
        self._timeout = connection.timeout
        self._closed = False
        key = connection.api_key
        self._client = AsyncQdrantClient(
            url=connection.url,
            grpc_port=connection.grpc_port,
            prefer_grpc=connection.prefer_grpc,
            # As a header, for the client's own parameter warns of every http: URL, also within a private network.
            headers={"api-key": key.get_secret_value()} if key is not None else None,
            timeout=math.ceil(connection.timeout),
            grpc_options=dict(_CHANNEL),
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
            # Would ask from a thread of its own, and warn instead of fail.
            check_compatibility=False,
        )

    async def run(self, call: Callable[[AsyncQdrantClient], Awaitable[T]], *, attempts: int = ATTEMPTS) -> T:
        """Make a call that does no harm when it is made twice: reading, and writing what an id fixes.

        Raises StoreUnavailable where it fails, or does not succeed within the time limit.
        """
        if self._closed:
            raise StoreUnavailable("The connection to Qdrant is closed.")
        try:
            async with asyncio.timeout(self._timeout):
                async for attempt in stamina.retry_context(
                    _pause_before_retry,
                    attempts=attempts,
                    timeout=None,
                    wait_initial=0.05,
                    wait_max=0.5,
                    wait_jitter=0.1,
                ):
                    with attempt:
                        return await call(self._client)
        except TimeoutError as error:
            raise StoreUnavailable(f"Qdrant at {self._url} did not answer within {self._timeout:g} s.") from error
        except _FAILURES as error:
            raise StoreUnavailable(f"Qdrant at {self._url} failed: {_reason(error)}") from error
        raise AssertionError("stamina returns or raises")

    async def close(self) -> None:
        """Close the connections; closing twice is harmless."""
        if not self._closed:
            self._closed = True
            await self._client.close()


def _pause_before_retry(error: Exception) -> bool | float:
    """Tell whether a failure may pass by itself, or after how many seconds the server says that it will."""
    match error:
        case ResourceExhaustedResponse():
            return float(error.retry_after_s)
        case UnexpectedResponse():
            return error.status_code in _TRANSIENT_STATUS
        case ResponseHandlingException(source=httpx.TransportError() as source):
            # Who waited for as long as the limit has no time left to wait again.
            return not isinstance(source, httpx.TimeoutException)
        case grpc.aio.AioRpcError():
            return error.code() is grpc.StatusCode.UNAVAILABLE
        case _:
            return False


def _reason(error: BaseException) -> str:
    match error:
        case UnexpectedResponse(status_code=401 | 403):
            return "it wants another API key (QDRANT_API_KEY)."
        case UnexpectedResponse():
            return f"{error.status_code} {_stated(error.content)}"
        case ResponseHandlingException():
            return f"{type(error.source).__name__}: {error.source}"
        case grpc.aio.AioRpcError() if error.code() in (
            grpc.StatusCode.UNAUTHENTICATED,
            grpc.StatusCode.PERMISSION_DENIED,
        ):
            return "it wants another API key (QDRANT_API_KEY)."
        case grpc.aio.AioRpcError():
            return f"{error.code().name}: {error.details()}"
        case _:
            return str(error)


def _stated(content: bytes) -> str:
    """Return the reason that Qdrant gives in the body of a failure."""
    try:
        return str(json.loads(content)["status"]["error"])
    except (ValueError, TypeError, KeyError):
        return content[:200].decode(errors="replace")
