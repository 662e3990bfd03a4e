"""Addresses of Qdrant nodes, from QDRANT_URL and from DNS."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class Address:
    """The address of one node."""

    url: str
    grpc_port: int


def read_addresses(text: str, grpc_port: int = 6334) -> list[Address]:
    """Return the addresses of a comma-separated list of URLs. Raises ValueError."""
    found = [_address(part.strip(), grpc_port) for part in text.split(",") if part.strip()]
    if not found:
        raise ValueError("it names no server")
    return found


def _address(url: str, grpc_port: int) -> Address:
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    port = options.pop("grpc_port", str(grpc_port))
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.port == 0:
        raise ValueError("each server must be http://host:6333 or https://host:6333, without a user or a password")
    if options or parts.fragment or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("after a server's address only ?grpc_port=6334 may follow")
    return Address(urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")), int(port))


async def expand(named: Address) -> list[Address]:
    """Return one address per node behind a DNS name such as that of a headless Service, or the name itself.

    An https: name is not resolved, because its certificate is issued for the name.
    """
    parts = urlsplit(named.url)
    host = parts.hostname or ""
    if parts.scheme == "https" or host == "localhost" or _is_ip(host):
        return [named]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, parts.port or 80, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        # The call itself will fail with the reason.
        return [named]
    v4 = sorted({str(entry[4][0]) for entry in found if entry[0] == socket.AF_INET})
    v6 = sorted({f"[{entry[4][0]}]" for entry in found if entry[0] == socket.AF_INET6})
    # Not both: a node of a dual-stack cluster would count twice. Prefer IPv4.
    hosts = v4 or v6
    if len(hosts) < 2:
        return [named]
    port = f":{parts.port}" if parts.port else ""
    return [replace(named, url=urlunsplit(parts._replace(netloc=f"{host}{port}"))) for host in hosts]


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
