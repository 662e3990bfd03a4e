"""Bind the server's port before anything is loaded; if it is taken, report the program that has it."""

from __future__ import annotations

import errno
import re
import socket
import sys
from pathlib import Path
from typing import Any

from image_similarity.domain.errors import InvalidRequest

_PROC = Path("/proc")

_LISTENS = "0A"
"""State of a socket in Linux's table of connections."""


def bind(host: str, port: int) -> list[socket.socket]:
    """Return one bound socket per address of `host`; clients are refused until the server listens on it.

    Raises InvalidRequest if the port is taken, and names the program if possible, or if there is no such address.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise _no_address(host) from error
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            if bound := _bind(family, kind, protocol, address):
                sockets.append(bound)
    except OSError as error:
        for bound in sockets:
            bound.close()
        raise refusal(host, port, error) from error
    if not sockets:
        raise _no_address(host)
    return sockets


def refusal(host: str, port: int, error: OSError) -> InvalidRequest:
    """Return the error for a port that could not be bound."""
    if error.errno != errno.EADDRINUSE:
        return InvalidRequest(f"Port {port} of {host} cannot be used: {error.strerror}. Choose another with --port.")
    return InvalidRequest(
        f"Port {port} is taken, by {_holder(port) or 'another program'}. Stop that, or choose another port with --port."
    )


def _bind(family: int, kind: int, protocol: int, address: tuple[Any, ...]) -> socket.socket | None:
    """Return a socket on the address; None if this machine has no addresses of that kind, such as IPv6."""
    try:
        found = socket.socket(family, kind, protocol)
    except OSError:
        return None
    try:
        # Else the port could not be bound for a minute after a server with clients has stopped.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # IPv4 has a socket of its own.
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        found.bind(address)
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRNOTAVAIL:
            return None
        raise
    return found


def _no_address(host: str) -> InvalidRequest:
    return InvalidRequest(f"{host} is no address of this machine. Set API_HOST to one, or use --host 127.0.0.1.")


def _holder(port: int) -> str | None:
    """Return the name and pid of the program that listens on the port; None if we cannot find or read it."""
    if sys.platform != "linux":
        return None
    inodes = {inode for table in ("tcp", "tcp6") for inode in _listeners(_PROC / "net" / table, port)}
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in _PROC.glob("[0-9]*"):
        try:
            if any(str(file.readlink()) in wanted for file in (process / "fd").iterdir()):
                return f"{_name(process)} (pid {process.name})"
        except OSError:
            # The process belongs to another user, or has ended.
            continue
    return None


def _listeners(table: Path, port: int) -> list[str]:
    """Return the inodes of the sockets that listen on a port."""
    try:
        rows = [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:
        return []
    return [row[9] for row in rows if row[3] == _LISTENS and int(row[1].rpartition(":")[2], 16) == port]


def _name(process: Path) -> str:
    """Return the name of a process: its program, or the script if that is Python, and its command if it has one."""
    words = [word.decode(errors="replace") for word in (process / "cmdline").read_bytes().split(b"\0")]
    if words[0].rpartition("/")[2].startswith("python") and len(words) > 1 and not words[1].startswith("-"):
        words = words[1:]
    command = [word for word in words[1:2] if re.fullmatch("[a-z-]{1,30}", word)]
    name = " ".join([words[0].rpartition("/")[2] or "another program", *command])
    return "".join(char for char in name[:100] if char.isprintable())
