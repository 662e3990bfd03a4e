"""Classifies failed calls to Qdrant: whether they are transient, whether a write may have been applied, and why.

The classes follow Qdrant 1.19: `CollectionError::is_transient` (lib/collection/src/operations/types.rs) and its status
over REST (src/actix/helpers.rs) and gRPC (lib/storage/src/content_manager/conversions.rs).
"""

from __future__ import annotations

import json
import re

import grpc
import httpx
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

FAILURES = (ApiException, ResourceExhaustedResponse, grpc.aio.AioRpcError, grpc.aio.UsageError)
"""All exceptions that the client raises if a call fails."""

_BUSY_STATUS = {429, 502, 504}
_SERVICE_STATUS = {408, 500, 503, 507}
"""Qdrant's transient errors: time-out, service error, shard unavailable, node over its quota."""
_SERVICE_CODE = {
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.CANCELLED,
}
_NEVER_SENT = ("failed to connect to all addresses", "connections to all backends failing")
"""Messages of gRPC, which has no code for a call that was never sent. Without them the outcome counts as unknown."""
_NOT_ALLOWED = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}


def is_transient(error: BaseException) -> bool:
    """Return whether the same call may succeed a moment later, or on another node."""
    match error:
        case UnexpectedResponse():
            return error.status_code in _BUSY_STATUS | _SERVICE_STATUS
        case ResponseHandlingException():
            return isinstance(error.source, httpx.TransportError)
        case grpc.aio.AioRpcError():
            return error.code() in _SERVICE_CODE | {grpc.StatusCode.DEADLINE_EXCEEDED}
        case _:
            return isinstance(error, ResourceExhaustedResponse | TimeoutError)


def is_not_found(error: BaseException) -> bool:
    """Return whether the node does not know the collection; a node that has just come back learns of it later."""
    match error:
        case UnexpectedResponse():
            return error.status_code == 404
        case grpc.aio.AioRpcError():
            return error.code() is grpc.StatusCode.NOT_FOUND
        case _:
            return False


def is_conflict(error: BaseException | None) -> bool:
    """Return whether the object that the call should make exists already."""
    match error:
        case UnexpectedResponse():
            return error.status_code == 409
        case grpc.aio.AioRpcError():
            return error.code() is grpc.StatusCode.ALREADY_EXISTS
        case _:
            return False


def may_be_settling(error: BaseException) -> bool:
    """Return whether Qdrant's answer may mean that shards are not active yet."""
    match error:
        case UnexpectedResponse():
            return error.status_code in _SERVICE_STATUS
        case grpc.aio.AioRpcError():
            return error.code() in _SERVICE_CODE
        case _:
            return False


def blames_node(error: BaseException) -> bool:
    """Return whether the node itself did not answer: no connection, a lost connection, or a time-out."""
    match error:
        case TimeoutError():
            return True
        case ResponseHandlingException():
            return isinstance(error.source, httpx.TransportError)
        case grpc.aio.AioRpcError():
            return error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
        case _:
            return False


def is_refusal(error: BaseException) -> bool:
    """Return whether it is certain that Qdrant has not executed the call, and will not.

    Qdrant refused the call, is too busy to begin it, or was never reached.
    """
    match error:
        case UnexpectedResponse():
            return error.status_code not in _SERVICE_STATUS | {502, 504}
        case ResponseHandlingException():
            return isinstance(error.source, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        case grpc.aio.AioRpcError() if error.code() is grpc.StatusCode.UNAVAILABLE:
            return never_reached_grpc(error)
        case grpc.aio.AioRpcError():
            return error.code() not in _SERVICE_CODE | {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNKNOWN}
        case _:
            return isinstance(error, ResourceExhaustedResponse)


def never_reached_grpc(error: BaseException) -> bool:
    """Return whether nothing answered on the gRPC port, which differs from the port of the URL."""
    return (
        isinstance(error, grpc.aio.AioRpcError)
        and error.code() is grpc.StatusCode.UNAVAILABLE
        and (error.details() or "").startswith(_NEVER_SENT)
    )


def reason(error: BaseException) -> str:
    """Return the failure as a text without secrets."""
    match error:
        case UnexpectedResponse(status_code=401 | 403):
            return "it wants another API key (QDRANT_API_KEY)."
        case UnexpectedResponse():
            return f"{error.status_code} {_stated(error.content)}"
        case ResponseHandlingException():
            return f"{type(error.source).__name__}: {error.source}"
        case grpc.aio.AioRpcError() if error.code() in _NOT_ALLOWED:
            return "it wants another API key (QDRANT_API_KEY)."
        case grpc.aio.AioRpcError():
            return f"{error.code().name}: {error.details()}"
        case TimeoutError():
            return "it did not answer in time."
        case _:
            return str(error)


_LABEL = r"[A-Za-z0-9_](?:[\w-]*\w)?"
_HEX = "[0-9A-Fa-f]{1,4}"
_ADDRESS = re.compile(
    # A URL; gRPC's name of a peer; an IPv4 or IPv6 address; a name with a port; a name that is internal to a cluster.
    r"[a-z][a-z0-9+.-]*://[^\s\"'<>,;)\]]+(?:\][^\s\"'<>,;)]*)?"
    r"|(?:ipv[46]:|dns:)[^\s,;\"')]*[^\s,;:\"').]"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b"
    r"|\[[0-9A-Fa-f:.%\w]*:[0-9A-Fa-f:.%\w]*\](?::\d{1,5})?"
    rf"|(?<![\w:])(?:(?:{_HEX}:){{3,7}}|(?:{_HEX}(?::{_HEX})*)?::)(?:{_HEX}(?::{_HEX})*)?(?![\w:])"
    rf"|\b{_LABEL}(?:\.{_LABEL})*:\d{{4,5}}\b"
    rf"|\b{_LABEL}(?:\.{_LABEL})*\.(?:svc|local|internal|localdomain)\b(?::\d+)?"
)
_PATH = re.compile(r"(?<![\w.])/(?:[^\s/:'\"]+/)+(?=[^\s/])")

TOLD_AT_MOST = 500
"""Maximum characters of a failure in errors for callers; the log has the whole text."""


def told(error: BaseException) -> str:
    """Return the failure as text for callers: without addresses and folders of nodes."""
    text = reason(error)
    if len(text) > TOLD_AT_MOST:
        # Cut at a space, because the pattern would not recognise half an address.
        text = text[:TOLD_AT_MOST].rpartition(" ")[0] + "…"
    return _PATH.sub("", _ADDRESS.sub("(address)", text))


def _stated(content: bytes) -> str:
    """Return the reason that Qdrant gives in the body of a failure."""
    try:
        return str(json.loads(content)["status"]["error"])
    except (ValueError, TypeError, KeyError):
        return content[:200].decode(errors="replace")
