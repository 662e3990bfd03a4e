"""The nodes of a Qdrant cluster: their addresses, a client for each, and which of them answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from random import Random
from time import monotonic
from typing import Any

import httpx
from pydantic import SecretStr
from qdrant_client import AsyncQdrantClient

from image_similarity.telemetry.logging import get_logger
from image_similarity.vectors.qdrant_server.addresses import Address, expand, read_addresses
from image_similarity.vectors.qdrant_server.failures import FAILURES

MAX_CONNECTIONS = 64
"""REST connections per process and node; by default the client keeps none alive to a server on the same machine."""

RESOLVE_SECONDS = 5.0
"""Seconds between two look-ups of a DNS name, because pods behind a Kubernetes Service change their addresses."""

PROBE_TIMEOUT = 1.0
"""Seconds that a suspected node has to answer a probe, which costs the node almost nothing."""

_RANDOM = Random()  # noqa: S311 - keeps the probes of replicas apart

_PROBE_PAUSE = (0.2, 2.0)
"""First and longest pause between two probes of a suspected node, in seconds."""

_CHANNEL = {
    # By default gRPC waits up to two minutes before it tries again to connect to a server.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
    # Notices a host that vanished without closing its connections, and resolves its name again.
    "grpc.keepalive_time_ms": 20_000,
    "grpc.keepalive_timeout_ms": 5_000,
    # An https: name, which we do not resolve, may still stand for all nodes of a cluster.
    "grpc.lb_policy_name": "round_robin",
}


@dataclass(frozen=True, slots=True)
class Connection:
    """Addresses of the nodes and settings of the connections."""

    url: str
    """REST addresses, comma-separated; `?grpc_port=6334` gives the gRPC port of one node."""
    grpc_port: int = 6334
    prefer_grpc: bool = True
    api_key: SecretStr | None = None
    timeout: float = 5.0
    """Seconds for a read, including retries and pauses, and for one attempt of a write."""
    settle_seconds: float = 60.0
    """Seconds to wait for shards that are not active yet."""


@dataclass(eq=False, slots=True)
class Node:
    """One node and its client."""

    address: Address
    client: AsyncQdrantClient
    suspected: bool = False
    """Whether it failed to answer last; then a probe is under way."""


class Nodes:
    """The nodes of one connection; the first call opens the clients. All methods run in one event loop."""

    def __init__(self, connection: Connection) -> None:
        """Raises ValueError for an address that cannot be read."""
        self._connection = connection
        self._named = read_addresses(connection.url, connection.grpc_port)
        self._nodes: dict[Address, Node] = {}
        self._next = 0
        self._resolved = -math.inf
        self._resolving: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def are_several(self) -> bool:
        """Return whether there are several nodes, so that a failed call can be tried on another one."""
        if not self._nodes:
            await self._resolve()
        return len(self._nodes) > 1

    async def in_order(self) -> list[Node]:
        """Return the nodes in the order to try them: answering ones in rotation, then suspected ones."""
        if not self._nodes:
            await self._resolve()
        elif self._resolving is None and monotonic() - self._resolved > RESOLVE_SECONDS:
            self._resolving = self._start(self._resolve())
        self._next += 1
        nodes = list(self._nodes.values())
        start = self._next % len(nodes)
        turn = nodes[start:] + nodes[:start]
        return sorted(turn, key=lambda node: node.suspected)

    def suspect(self, node: Node, why: str) -> None:
        """Prefer the other nodes until this one answers a probe."""
        if node.suspected or len(self._nodes) < 2:
            return
        node.suspected = True
        get_logger().warning("qdrant_node_suspected", node=node.address.url, reason=why)
        self._start(self._probe(node))

    async def close(self) -> None:
        """Close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for node in self._nodes.values():
            await node.client.close()

    async def _probe(self, node: Node) -> None:
        pause, longest = _PROBE_PAUSE
        while self._nodes.get(node.address) is node:
            try:
                async with asyncio.timeout(PROBE_TIMEOUT):
                    await node.client.info()
                break
            except (TimeoutError, *FAILURES):
                await asyncio.sleep(pause * _RANDOM.uniform(0.8, 1.2))
                pause = min(2 * pause, longest)
        node.suspected = False
        get_logger().info("qdrant_node_answers", node=node.address.url)

    async def _resolve(self) -> None:
        try:
            found = {address: None for named in self._named for address in await expand(named)}
        finally:
            self._resolved, self._resolving = monotonic(), None
        for address in found.keys() - self._nodes.keys():
            self._nodes[address] = Node(address, self._open(address))
        gone = [self._nodes.pop(address) for address in self._nodes.keys() - found.keys()]
        if gone:
            self._start(self._let_go(gone))

    async def _let_go(self, nodes: Iterable[Node]) -> None:
        try:
            # Let calls to these nodes finish first.
            await asyncio.sleep(3 * self._connection.timeout)
        finally:
            for node in nodes:
                await node.client.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _open(self, address: Address) -> AsyncQdrantClient:
        key = self._connection.api_key
        return AsyncQdrantClient(
            url=address.url,
            grpc_port=address.grpc_port,
            prefer_grpc=self._connection.prefer_grpc,
            # As a header, because with its own parameter the client warns about http: URLs, even in a private network.
            headers={"api-key": key.get_secret_value()} if key is not None else None,
            timeout=math.ceil(self._connection.timeout),
            grpc_options=dict(_CHANNEL),
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
            # Reading certificates takes 20 ms, and http: does not need them.
            verify=address.url.startswith("https:"),
            # The client would check in a separate thread, and warn instead of fail.
            check_compatibility=False,
        )
