"""The target of the load: this machine, unless the caller allows another."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

API = "/api/v1"
PATIENCE = 5
"""Seconds that a server may take to accept the first connection."""


@dataclass(frozen=True)
class Target:
    """A server, and the one address that all clients connect to."""

    url: str
    host: str
    """Value of the Host header: host and port of the URL."""
    address: str
    port: int
    path: str
    """Prefix of request paths, ending in `/api/v1`."""
    tls: ssl.SSLContext | None
    name: str | None
    """Name that the certificate must be for, if there is one."""


def find_target(url: str, *, allow_remote: bool = False) -> Target:
    """Return the server at `url`, at the first of its addresses that accepts a connection.

    Raises ValueError for an invalid URL, or for another machine without `allow_remote`, and OSError if no address
    accepts connections.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses = loopback_addresses(url, allow_remote=allow_remote)
    refusals = []
    for address in addresses:
        try:
            socket.create_connection((address, port), timeout=PATIENCE).close()
        except OSError as error:
            refusals.append(f"{address}: {error}")
            continue
        return Target(
            url=url,
            host=parts.netloc,
            address=address,
            port=port,
            path=parts.path.rstrip("/") + API,
            tls=ssl.create_default_context() if parts.scheme == "https" else None,
            name=parts.hostname if parts.scheme == "https" else None,
        )
    raise OSError(f"No server accepts connections at {url} ({'; '.join(refusals)}).")


def loopback_addresses(url: str, *, allow_remote: bool = False) -> list[str]:
    """Return the addresses of a URL's host.

    Raises ValueError for an invalid URL or one with a password, and, without `allow_remote`, if one of the addresses
    is not of this machine: a mistyped host name must not become an attack.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{url!r} is not a URL such as http://localhost:8080.")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("The URL takes neither a user nor a query; give the key with --api-key.")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ValueError(f"The host {parts.hostname!r} is not known: {error}.") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    remote = [address for address in addresses if not ipaddress.ip_address(address.partition("%")[0]).is_loopback]
    if remote and not allow_remote:
        raise ValueError(
            f"{parts.hostname} is not this machine ({', '.join(remote)}). Load is sent elsewhere only with "
            "--allow-remote, and only to servers whose owner agreed."
        )
    return addresses
