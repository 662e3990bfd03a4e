"""Opens a bucket as the environment describes it, and checks that it can be used."""

from __future__ import annotations

import asyncio
import os
import re
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.telemetry.logging import get_logger

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

START_SECONDS = 10.0
"""Seconds that a bucket may take to answer when a process starts."""

_ENDPOINTS = ("AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Environment variables that name the server of a bucket; the first one that is set counts."""

_CODE = re.compile(r"status code: (\d{3})(?:.*?<Code>(\w+)</Code>)?", re.DOTALL)
"""Status and code of an S3 server's error, in the text of obstore's errors."""

_OF_REGIONS = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}


def open_bucket(url: str, *, retries: int | None = None) -> ObjectStore:
    """Return the bucket, without sending a request.

    Credentials come from the environment, as AWS's own tools read them. An endpoint that begins with http:// is used
    without TLS. `retries` bounds how often a request is repeated; None uses obstore's default. Raises ValueError if the
    endpoint is not an address, and obstore's own errors.
    """
    limits: RetryConfig | None = None
    if retries is not None:
        limits = {"max_retries": retries, "retry_timeout": timedelta(seconds=START_SECONDS)}
    endpoint = _endpoint() if url.startswith("s3://") else None
    if endpoint is None:
        return from_url(url, retry_config=limits)
    plain: ClientConfig | None = None
    # `client_options` replace those of the environment, which may also name a proxy; so pass them only if needed.
    if endpoint.scheme == "http" and "AWS_ALLOW_HTTP" not in os.environ:
        plain = {"allow_http": True}
    # Passed explicitly, so that obstore uses the endpoint whose scheme was checked here.
    return from_url(url, endpoint=endpoint.geturl(), client_options=plain, retry_config=limits)


async def check_bucket(url: str | None) -> None:
    """Request a listing of a bucket; do nothing for a folder. Takes `START_SECONDS` at most.

    Logs a warning if images travel unencrypted through a public network. Raises StoreUnavailable, which says what to
    change, if the bucket cannot be used.
    """
    if url is None or url.startswith("file://"):
        return
    try:
        bucket = open_bucket(url, retries=2)
        async with asyncio.timeout(START_SECONDS):
            await bucket.list_with_delimiter_async("thumbnails/none")
    except TimeoutError as error:
        raise _unusable(url, f"there was no answer within {START_SECONDS:g} s; {_where_to_look()}") from error
    except ValueError as error:
        raise _unusable(url, str(error)) from error
    except (BaseError, OSError) as error:
        raise _unusable(url, _reason(error)) from error
    endpoint = _endpoint()
    if endpoint is not None and endpoint.scheme == "http" and await _is_public(endpoint.hostname or ""):
        get_logger().warning(
            "storage_unencrypted",
            endpoint=endpoint.geturl(),
            advice="Images and signed requests travel as plain text to a public address: use https://.",
        )


def in_one_line(error: Exception) -> str:
    """Return the message of an obstore error on one line, without the debug output that follows it."""
    return " ".join(str(error).partition("\n\nDebug source:")[0].split())


def _endpoint() -> SplitResult | None:
    """Return the address of the server, or None if the environment names none. Raises ValueError."""
    for name in _ENDPOINTS:
        if value := os.environ.get(name, "").strip():
            break
    else:
        return None
    wanted = f'{name} is "{value}", but must be an address like https://s3.example.com or http://minio:9000'
    try:
        parts = urlsplit(value)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError as error:
        raise ValueError(wanted) from error
    if not known or re.search(r"\s", value):
        raise ValueError(wanted)
    return parts


def _unusable(url: str, reason: str) -> StoreUnavailable:
    return StoreUnavailable(f"The bucket {url} (STORAGE_URL) cannot be used: {reason}.")


def _reason(error: Exception) -> str:
    said = in_one_line(error)
    found = _CODE.search(str(error))
    if found is None:
        return f"{said}; {_where_to_look()}"
    status, code = found.groups()
    given = f"its server answered {status} {code or ''}".rstrip()
    if code == "NoSuchBucket":
        return f"{given}; make the bucket, or correct STORAGE_URL"
    if status == "301" or code in _OF_REGIONS:
        return f"{given}; set AWS_REGION to the bucket's region"
    if status in ("401", "403"):
        return (
            f"{given}; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that they may list, read, write and "
            "delete there"
        )
    return f"{given}; {_where_to_look()}"


def _where_to_look() -> str:
    endpoint = _endpoint()
    if endpoint is None:
        return "check the network, AWS_REGION and the credentials, or set AWS_ENDPOINT if the bucket is not at AWS"
    return f"check that an S3 server listens at {endpoint.geturl()}, or correct AWS_ENDPOINT"


async def _is_public(host: str) -> bool:
    try:
        async with asyncio.timeout(START_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except OSError:
        # The bucket answered although we cannot resolve its name, so a proxy resolves it: the route is unknown.
        return False
    return any(ip_address(str(address[4][0]).partition("%")[0]).is_global for address in found)
