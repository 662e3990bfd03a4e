"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

import errno
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from image_similarity.api.schemas.images import Problem
from image_similarity.domain import errors
from image_similarity.telemetry.logging import get_logger

STATUS: dict[type[errors.ImageSimilarityError], int] = {
    errors.UrlFetchDisabled: 403,
    errors.ImageNotFound: 404,
    errors.JobNotFound: 404,
    errors.ImageExists: 409,
    errors.BodyTooLarge: 413,
    errors.ImageTooLarge: 413,
    errors.UnsupportedFormat: 415,
    errors.ImageUndecodable: 422,
    errors.DecodeTimeout: 422,
    errors.UrlUnreachable: 422,
    errors.UrlFetchTimeout: 422,
    errors.InvalidRequest: 422,
    errors.TextSearchUnavailable: 422,
    errors.Overloaded: 503,
    errors.StoreUnavailable: 503,
    errors.DiskFull: 507,
    errors.ModelUnavailable: 503,
}
"""The most specific class decides; an error that is not listed is a 500."""

MAX_ERRORS = 20
"""Errors in one answer. A request may have thousands, but these are enough to see what is wrong."""

_MAX_NAME = 120
"""Characters of a field's name in an answer: the caller chooses it."""

_TITLES = {
    413: "Too large",
    415: "Unsupported format",
    422: "Cannot be processed",
    503: "Not available right now",
    507: "The disk is full",
}

_FULL = (
    "The disk of DATA_DIR has 101.5 MiB free; 256.0 MiB must stay free (MIN_FREE_BYTES). Make room on it, or delete "
    "images; until then nothing is written, and searches and deletions go on."
)

_HTTP_CODES = {401: "unauthorized", 404: "not_found", 405: "method_not_allowed", 400: "bad_request"}

_EXAMPLES: dict[int, tuple[str, str]] = {
    400: ("invalid_json", "The body is not JSON: unexpected end of data: line 1 column 9 (char 8)."),
    401: ("unauthorized", "Send one of the server's API keys as X-API-Key or as a Bearer token."),
    403: ("url_fetch_disabled", "Images are not fetched by URL here (ALLOW_URL_FETCH); send the image itself."),
    404: ("image_not_found", 'No image with the id "cats/tom.jpg" is indexed.'),
    409: ("image_exists", 'There is an image "cats/tom.jpg"; a deleted one of that id is not restored over it.'),
    413: ("image_too_large", "The image has 120000000 pixels (12000 x 10000); the limit is 80000000."),
    415: ("unsupported_format", "The file is not an image of a supported format."),
    422: ("image_undecodable", "The JPEG file is truncated."),
    500: ("internal_error", "The server made a mistake; its log has the details under this request id."),
    503: ("overloaded", "256 images are waiting for the model, which is the limit; try again in a moment."),
    507: ("disk_full", _FULL),
}


RETRIED_NOWHERE = 507
"""The status of `store_unavailable` if the balancer asks for it. The balancer retries a 503 on another replica. Every
replica has the same store, so the client would wait for one time limit per retry. The balancer does not retry this
status, and turns it back into 503."""

_ASKS = "x-no-retry-status"
"""Request header of such a balancer."""

_KEEP = {"X-Keep-Status": "507"}
"""Response header that marks a real 507, which the balancer must not turn into 503."""


class ProblemError(Exception):
    """An error that exists only in HTTP, such as a missing key or a body that is not JSON."""

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, headers


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of the error statuses that a route may answer with, each with an example."""
    return {status: _documented(status) for status in sorted({*statuses, 401, 500})}


def install(app: FastAPI) -> None:
    """Answer every error of the application with a problem document."""
    app.add_exception_handler(errors.ImageSimilarityError, domain_problem)
    app.add_exception_handler(OSError, _on_os_error)
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(ValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)


def internal_error(scope: Scope) -> Response:
    """Return the problem document for a bug of ours; its details are only in the log."""
    return problem(scope, 500, "internal_error", _EXAMPLES[500][1])


def problem(
    scope: Scope,
    status: int,
    code: str,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    errors: Sequence[Any] | None = None,
) -> Response:
    """Return a problem document."""
    body: dict[str, Any] = {
        "type": f"about:blank#{code}",
        "title": _title(status),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": scope.get("request_id"),
    }
    if errors is not None:
        body["errors"] = errors
    return Response(orjson.dumps(body, default=str), status, headers, media_type="application/problem+json")


async def domain_problem(request: Request, error: Exception) -> Response:
    """Return the problem document for an error of the domain."""
    assert isinstance(error, errors.ImageSimilarityError)  # noqa: S101 - what the handler is registered for
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    if status >= 500 and not isinstance(error, errors.Overloaded):
        # The message of StoreUnavailable is complete. A traceback per request would slow down all others.
        trace = None if isinstance(error, errors.StoreUnavailable) else error
        get_logger().error("request_failed", code=error.code, error=str(error), exc_info=trace)
    headers = None
    if isinstance(error, errors.Overloaded):
        headers = {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
    elif status == 503:
        headers = {"Retry-After": "5"}
    elif status == 507:
        headers = _KEEP
    answer = problem(request.scope, status, error.code, str(error), headers=headers)
    # A write of unknown outcome is retried: another replica may find out the outcome.
    away = status == 503 and isinstance(error, errors.StoreUnavailable)
    away = away and not isinstance(error, errors.WriteOutcomeUnknown)
    if away and request.headers.get(_ASKS) == str(RETRIED_NOWHERE):
        answer.status_code = RETRIED_NOWHERE
    return answer


async def _on_os_error(request: Request, error: Exception) -> Response:
    """Answer 507 if the disk for uploads is full; raise any other error, because it is a bug of ours."""
    if not isinstance(error, OSError) or error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        raise error
    full = "The disk that uploads arrive on is full (TMPDIR). Make room on it, or send less at a time."
    return await domain_problem(request, errors.DiskFull(full))


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101
    return problem(request.scope, error.status, error.code, error.detail, headers=error.headers)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError | ValidationError)  # noqa: S101
    # The input is left out, because it may be an image of megabytes.
    found = [
        {"field": ".".join(str(step) for step in entry["loc"])[:_MAX_NAME], "message": _in_words_of_json(entry)}
        for entry in error.errors()[:MAX_ERRORS]
    ]
    field, message = found[0]["field"], found[0]["message"]
    detail = f"{field}: {message}." if field else f"{message[0].upper()}{message[1:]}."
    return problem(request.scope, 422, "invalid_request", detail, errors=found)


def _in_words_of_json(entry: Mapping[str, Any]) -> str:
    """Return pydantic's message with the names of JSON types instead of Python's."""
    kind, message = entry["type"], str(entry["msg"])
    if kind in {"is_instance_of", "sequence_str"}:
        return "Input should be a list"
    if kind in {"model_type", "dict_type"}:
        return "Input should be an object"
    if kind == "too_long":
        return f"List should have at most {entry['ctx']['max_length']} items, not {entry['ctx']['actual_length']}"
    return message.removeprefix("Value error, ")


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    code = _HTTP_CODES.get(error.status_code, "http_error")
    headers = dict(error.headers) if error.headers else None
    return problem(request.scope, error.status_code, code, f"{error.detail}: {request.url.path}", headers=headers)


async def _on_disconnect(_: Request, __: Exception) -> Response:
    # For the log and the metrics only; 499 is nginx's status for a client that closed the connection.
    return Response(status_code=499)


def _title(status: int) -> str:
    return _TITLES.get(status) or HTTPStatus(status).phrase


def _documented(status: int) -> dict[str, Any]:
    code, detail = _EXAMPLES[status]
    example = {
        "type": f"about:blank#{code}",
        "title": _title(status),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": "019a9d5e-4c1b-7d3a-9f5e-2f6f0a1b2c3d",
    }
    return {
        "description": _title(status),
        "content": {
            "application/problem+json": {
                "schema": {"$ref": f"#/components/schemas/{Problem.__name__}"},
                "example": example,
            }
        },
    }
