"""A bucket as the environment describes it: how it is opened, and whether it can be used."""

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
"""How long a bucket may take to answer when a process starts."""

_ENDPOINTS = ("AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Variables that name the server of a bucket; the first that is set counts."""

_CODE = re.compile(r"status code: (\d{3})(?:.*?<Code>(\w+)</Code>)?", re.DOTALL)
"""What an S3 server gives as its reason, in obstore's words."""

_OF_REGIONS = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}


def open_bucket(url: str, *, retries: int | None = None) -> ObjectStore:
    """Return the bucket; nothing is asked of it yet.

    Credentials come from the environment, as AWS's own tools read them. Plain http is spoken to an endpoint that says
    so. `retries` bounds how often a request is repeated; None is for as often as obstore does. Raises ValueError for an
    endpoint that is no address, and obstore's own errors.
    """
    limits: RetryConfig | None = None
    if retries is not None:
        limits = {"max_retries": retries, "retry_timeout": timedelta(seconds=START_SECONDS)}
    endpoint = _endpoint() if url.startswith("s3://") else None
    if endpoint is None:
        return from_url(url, retry_config=limits)
    plain: ClientConfig | None = None
    # Options that are given replace those of the environment, which may name a proxy beside this one.
    if endpoint.scheme == "http" and "AWS_ALLOW_HTTP" not in os.environ:
        plain = {"allow_http": True}
    # Said once more, so that it is surely the one whose scheme was looked at.
    return from_url(url, endpoint=endpoint.geturl(), client_options=plain, retry_config=limits)


async def check_bucket(url: str | None) -> None:
    """Ask a bucket for a listing; a folder is left alone. Takes `START_SECONDS` at most.

    Logs a warning where images travel unencrypted through a public network. Raises StoreUnavailable, with what is to be
    changed, where the bucket cannot be used.
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
    """Return what an error of obstore says, without the pages of internals that follow."""
    return " ".join(str(error).partition("\n\nDebug source:")[0].split())


def _endpoint() -> SplitResult | None:
    """Return the address of the server, or None where the environment names none. Raises ValueError."""
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
        return "check the network, AWS_REGION and the credentials, or set AWS_ENDPOINT where the bucket is not at AWS"
    return f"check that an S3 server listens at {endpoint.geturl()}, or correct AWS_ENDPOINT"


async def _is_public(host: str) -> bool:
    try:
        async with asyncio.timeout(START_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except OSError:
        # The bucket answered, so others look the name up (a proxy): nothing is known of the way there.
        return False
    return any(ip_address(str(address[4][0]).partition("%")[0]).is_global for address in found)
