"""Find the server that has the data folder open; commands send their requests to it."""

from __future__ import annotations

import ipaddress
import platform
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlsplit

import httpx
import orjson

from image_similarity.bootstrap.deployment import Deployment
from image_similarity.domain.errors import InvalidRequest
from image_similarity.settings import Settings
from image_similarity.vectors.qdrant_edge.folder_lock import FolderInUse, Holder, holder_of

API_PREFIX = "/api/v1"
"""Prefix of every path of the API; clients add it themselves."""

_TIMEOUT = 15.0
"""Seconds that a server may take to answer /health; a busy one is slow."""

_MOST_BYTES = 65_536
"""Limit of the answer that is read, because another program may have sent it."""


@dataclass(frozen=True, slots=True)
class Server:
    """The address of a server, and how to reach it."""

    url: str
    api_key: str | None
    trust_env: bool = True
    """Whether to use the proxy of the environment; False for a server on this machine."""


def server_at(url: str, api_key: str | None) -> Server:
    """Return the server at an address as people write it: without a scheme, or with `/api/v1` at the end.

    Raises InvalidRequest if it is no address of a server.
    """
    full = (url if "://" in url else f"http://{url}").rstrip("/").removesuffix(API_PREFIX)
    try:
        parts = urlsplit(full)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise InvalidRequest(f"{url} is no address of a server; write it as http://localhost:8000.")
    return Server(full, api_key)


def running_server(settings: Settings, api_key: str | None) -> tuple[Server, Holder] | None:
    """Return the server that has the collection's folder open; None if the folder is free, or a Qdrant server is used.

    Its key is `api_key`, else the first of API_KEYS, because the server was started with them. The lock file is not
    trusted: only an address of this machine or API_HOST is contacted. Raises FolderInUse if another command has the
    folder open, or a server that does not answer from here.
    """
    folder = Deployment.of(settings).folder
    if folder is None or (holder := holder_of(folder)) is None:
        return None
    if holder.url is None:
        raise FolderInUse(folder, holder)
    if holder.host != platform.node() or not _is_near(holder.url, settings.api_host):
        raise FolderInUse(folder, holder, f"If you trust that address, say --url {holder.url}; else stop the server.")
    problem = _problem(holder.url)
    if problem is not None:
        raise FolderInUse(
            folder, holder, f"It does not answer as a server should ({problem}). Try again in a moment, or stop it."
        )
    own_key = settings.api_keys[0].get_secret_value() if settings.api_keys else None
    return Server(holder.url, api_key or own_key, trust_env=False), holder


def _is_near(url: str, api_host: str) -> bool:
    """Return whether the URL is one of this machine, or of API_HOST."""
    try:
        parts = urlsplit(url)
        plain = (parts.scheme, parts.username, parts.path, parts.query) == ("http", None, "", "") and parts.port
    except ValueError:
        return False
    if not plain or parts.hostname is None:
        return False
    try:
        return ipaddress.ip_address(parts.hostname).is_loopback or parts.hostname == api_host.lower()
    except ValueError:
        return parts.hostname in {"localhost", api_host.lower()}


def _problem(url: str) -> str | None:
    """Return why the program at the URL is no server of ours; None if it is one."""
    body, deadline = b"", monotonic() + _TIMEOUT
    try:
        with (
            httpx.Client(timeout=_TIMEOUT, trust_env=False, headers={"Accept-Encoding": "identity"}) as client,
            client.stream("GET", f"{url}{API_PREFIX}/health") as answer,
        ):
            for part in answer.iter_raw():
                body += part
                if len(body) > _MOST_BYTES or monotonic() > deadline:
                    return "its /health does not end"
        found = orjson.loads(body)
        return (
            None if {"version", "services"} <= found.keys() and "model" in found["services"] else "its /health is odd"
        )
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    except (ValueError, TypeError, AttributeError):
        return "its /health is not JSON"
