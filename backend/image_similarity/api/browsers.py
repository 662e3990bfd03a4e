"""Protect the API from foreign web pages: a user's browser may reach it although the page's server cannot.

There are two attacks. A page can send simple requests to any address that the browser reaches; the browser only stops
it from reading the answers. So a request that changes something must not come from a foreign origin. And a page can
make the name of its own host resolve to this server a moment later (DNS rebinding); then both are one origin. So the
Host header must be one of our names. Programs that are no browsers send no headers about pages, and pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from image_similarity.api.errors import problem
from image_similarity.images.addresses import read_address
from image_similarity.settings import Settings
from image_similarity.telemetry.logging import get_logger

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

ANY_NAME = frozenset({"/metrics", "/api/v1/health", "/api/v1/ready"})
"""Balancers, kubelets and Prometheus request these under names and addresses of their own. They reveal no image."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class AllowedHosts:
    """The names that clients may call this server by."""

    def __init__(self, names: Sequence[str], *, addresses: bool = False) -> None:
        """Take names, addresses, `*.example.com` for all names below one, and `*` for any.

        `addresses` also allows every IP address, which is safe: DNS rebinding needs a name.
        """
        self._any = "*" in names
        self._addresses = addresses
        self._names = {_plain(name) for name in names if not name.startswith("*.")}
        self._ends = tuple(_plain(name)[1:] for name in names if name.startswith("*."))

    def hold(self, host: str) -> bool:
        """Return whether the value of a Host header, with or without a port, is one of them."""
        if self._any:
            return True
        name = _split(host)[0]
        if name in self._names or name.endswith(self._ends):
            return True
        return self._addresses and read_address(name) is not None


def allowed_hosts(settings: Settings) -> AllowedHosts:
    """Return the hosts of ALLOWED_HOSTS; by default any name if there are keys, because no foreign page has one."""
    if settings.allowed_hosts or settings.api_keys:
        return AllowedHosts(settings.allowed_hosts or ["*"])
    every_interface = settings.api_host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound to
    return AllowedHosts([*LOOPBACK_NAMES, settings.api_host], addresses=every_interface)


class RefuseForeignPages:
    """Answers 403 to unknown names of hosts, and to requests that change something and come from foreign pages."""

    def __init__(self, app: ASGIApp, hosts: AllowedHosts, origins: Sequence[str]) -> None:
        """`origins` are those of other pages that may call, such as `https://page.example`, or `*`."""
        self._app = app
        self._hosts = hosts
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it before its body is read."""
        refusal = self._refuse(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refuse(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        # HTTP/1.0 allows requests without a Host header. No browser speaks HTTP/1.0.
        if len(hosts) != 1 and not (not hosts and scope["http_version"] == "1.0"):
            return problem(scope, 400, "bad_request", "Send one Host header.")
        host = hosts[0] if hosts else ""
        if hosts and scope["path"] not in ANY_NAME and not self._hosts.hold(host):
            get_logger().warning("host_refused", host=host[:100])
            return problem(
                scope,
                403,
                "host_not_allowed",
                f'This server is not called "{host[:100]}". If it is yours, add that name to ALLOWED_HOSTS.',
            )
        if scope["method"] not in _SAFE_METHODS and not self._is_ours(headers, host):
            get_logger().warning("page_refused", origin=headers.get("origin", "")[:100])
            return problem(
                scope,
                403,
                "origin_not_allowed",
                "A web page of another origin may not change anything here. If it is yours, add its origin to "
                "CORS_ORIGINS.",
            )
        return None

    def _is_ours(self, headers: Headers, host: str) -> bool:
        """Return whether a request comes from our page, an allowed page, or no page at all."""
        origins = headers.getlist("origin")
        if "*" in self._origins or (len(origins) == 1 and origins[0] in self._origins):
            return True
        # The browser sets this header, and no page can change it. Over plain http browsers send it only to localhost.
        if site := headers.get("sec-fetch-site"):
            return site in ("same-origin", "none")
        # The schemes are not compared: a proxy that ends TLS hides the browser's.
        return all(_is_origin_of(origin, host) for origin in origins)


def _is_origin_of(origin: str, host: str) -> bool:
    """Return whether a page of that origin was served under that Host; "null" is an opaque origin."""
    scheme, _, place = origin.partition("://")
    return scheme in ("http", "https") and bool(_split(host)[0]) and _split(place) == _split(host)


def _split(host: str) -> tuple[str, int | None]:
    """Return the name, as `_plain` writes it, and the port of `name:port`; an empty name if `host` is invalid."""
    try:
        parts = urlsplit(f"//{host}")
        if parts.netloc != host or "@" in host:
            return "", None
        return _plain(parts.hostname or ""), parts.port
    except ValueError:
        return "", None


def _plain(name: str) -> str:
    return name.strip("[]").rstrip(".").lower()
