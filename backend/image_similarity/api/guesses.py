"""Slow down the guessing of API keys: each further wrong key from an address is answered later.

A valid key is never delayed. To slow down parallel guesses too, an address with many wrong keys waiting gets 429
meanwhile, except with a key that it has used before: other clients behind the same address can go on. The memory for
this is bounded, and each process has its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv6Address
from time import monotonic
from typing import TypeVar

from starlette.types import Scope

from image_similarity.images.addresses import read_address

K = TypeVar("K")
V = TypeVar("V")

FREE_FAILURES = 5
FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0
"""Seconds; each further failure doubles the wait."""
FORGET_SECONDS = 300.0
WAITING_OF_ONE = 16
WAITING_OF_ALL = 64
"""Each holds a connection. Beyond these, wrong keys are answered at once."""
MOST_REMEMBERED = 4096


def client_address(scope: Scope) -> str:
    """Return the IP address of the client, which trusted proxies pass on (TRUSTED_PROXIES), or "unknown"."""
    address = read_address((scope.get("client") or ("",))[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address or "unknown")


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0
    waiting: int = 0


class WrongKeys:
    """Failed attempts by network, and the valid keys by address. Only one event loop may use it."""

    def __init__(
        self, clock: Callable[[], float] = monotonic, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._failures: dict[str, _Failures] = {}
        self._worked: dict[tuple[str, str], None] = {}
        self._waiting = 0

    def crowded(self, address: str, key: str | None) -> bool:
        """Return whether to refuse an address because many of its guesses wait; `key` is the name of a valid key."""
        failures = self._failures.get(_network(address))
        return failures is not None and failures.waiting >= WAITING_OF_ONE and (address, key or "") not in self._worked

    def worked(self, address: str, key: str) -> None:
        """Remember that an address sent a valid key."""
        _remember(self._worked, (address, key), None)

    async def failed(self, address: str) -> None:
        """Remember that an address sent a wrong key, and wait before the answer is sent."""
        network, now = _network(address), self._clock()
        failures = self._failures.get(network)
        if failures is None or (now - failures.last > FORGET_SECONDS and not failures.waiting):
            failures = _Failures()
        _remember(self._failures, network, failures)
        failures.count += 1
        failures.last = now
        excess = failures.count - FREE_FAILURES
        if excess <= 0 or self._waiting >= WAITING_OF_ALL:
            return
        failures.waiting += 1
        self._waiting += 1
        try:
            await self._sleep(min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(excess - 1, 16)))
        finally:
            failures.waiting -= 1
            self._waiting -= 1


def _network(address: str) -> str:
    """Return an IPv4 address as it is, or the first 64 bits of an IPv6 one: a client has all addresses behind them."""
    read = read_address(address)
    return f"{int(read) >> 64:x}" if isinstance(read, IPv6Address) else address


def _remember(remembered: dict[K, V], key: K, value: V) -> None:
    """Add an entry at the end, and drop the oldest one if there are too many."""
    remembered.pop(key, None)
    remembered[key] = value
    if len(remembered) > MOST_REMEMBERED:
        del remembered[next(iter(remembered))]
