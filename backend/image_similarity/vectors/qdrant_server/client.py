"""Calls to a Qdrant cluster: with a time limit, repeated on other nodes, and with errors translated to ours.

If one node has not answered a read after `HEDGE_SECONDS`, the read goes to a second node too, and the first answer
counts (Dean and Barroso, "The Tail at Scale", 2013). A write goes to one node at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import stamina
from qdrant_client import AsyncQdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse

from image_similarity.domain.errors import StoreUnavailable, WriteOutcomeUnknown
from image_similarity.telemetry.logging import get_logger
from image_similarity.vectors.qdrant_server.failures import (
    FAILURES,
    blames_node,
    is_not_found,
    is_refusal,
    is_transient,
    may_be_settling,
    never_reached_grpc,
    reason,
    told,
)
from image_similarity.vectors.qdrant_server.nodes import Connection, Node, Nodes
from image_similarity.vectors.qdrant_server.settling import Settling

T = TypeVar("T")
Call = Callable[[AsyncQdrantClient], Awaitable[T]]

ATTEMPTS = 3
"""Attempts of a read: enough for a lost connection or an election, but not for a node that restarts."""

WRITE_ATTEMPTS = 5
"""Attempts of a write: after a leader died, each other node fails once before they agree on a new one."""

WRITE_TIMEOUTS = 3
"""Time limit of a write, as a multiple of that of one attempt."""

HEDGE_SECONDS = 0.4
"""Seconds that a read waits for one node before it asks a second one too; searches take tens of milliseconds."""

MAX_HEDGES = 8
"""Maximum concurrent reads per process on two nodes, so that a cluster that is slow as a whole gets no double load."""


@dataclass(frozen=True, slots=True)
class Written(Generic[T]):
    """The answer to a write."""

    answer: T
    abandoned: bool
    """Whether an earlier attempt was given up that may have reached Qdrant: it may still be applied later."""


class QdrantCalls:
    """Calls about one collection; the first call opens the connections."""

    def __init__(self, connection: Connection, collection: str = "") -> None:
        """Raises ValueError for an address that cannot be read."""
        self._url = connection.url
        self._grpc_port = connection.grpc_port
        self._timeout = connection.timeout
        self.settle_seconds = connection.settle_seconds
        """Seconds to wait for a cluster that is not complete yet."""
        self._nodes = Nodes(connection)
        self._settling = Settling(collection, connection.settle_seconds)
        self._hedges = 0
        self._closed = False

    @property
    def url(self) -> str:
        """Address of the server, as configured."""
        return self._url

    async def run(self, call: Call[T], *, attempts: int = ATTEMPTS) -> T:
        """Make a call that may safely run twice, even at the same time.

        Raises StoreUnavailable if it fails, or does not succeed within the time limit.
        """

        async def read() -> T:
            several = await self._nodes.are_several()
            async with asyncio.timeout(self._timeout):
                async for attempt in _retries(attempts, several=several):
                    with attempt:
                        return await self._hedged(call)
            raise AssertionError("stamina returns or raises")

        try:
            return await self._settled(read)
        except (TimeoutError, *FAILURES) as error:
            raise StoreUnavailable(self._failure(error, self._timeout)) from error

    async def write(self, call: Call[T], *, attempts: int = WRITE_ATTEMPTS) -> Written[T]:
        """Make an idempotent call that changes data, one attempt after the other.

        Raises WriteOutcomeUnknown if it fails but may have been or may still be applied, otherwise StoreUnavailable.
        """
        lost, limit = False, self._timeout

        async def change() -> T:
            nonlocal lost, limit
            several = await self._nodes.are_several()
            limit = self._timeout * (WRITE_TIMEOUTS if several and attempts > 1 else 1)
            async with asyncio.timeout(limit):
                async for attempt in _retries(attempts, several=several):
                    with attempt:
                        node = (await self._open_nodes())[0]
                        try:
                            return await self._ask(node, call)
                        except BaseException as error:
                            lost = lost or not is_refusal(error)
                            raise
            raise AssertionError("stamina returns or raises")

        try:
            return Written(await self._settled(change), lost)
        except (TimeoutError, *FAILURES) as error:
            failed = self._failure(error, limit)
            if lost:
                raise WriteOutcomeUnknown(
                    f"{failed} The change may have been made all the same, or may still be; repeating it is safe."
                ) from error
            raise StoreUnavailable(failed) from error

    async def close(self) -> None:
        """Close the connections; closing twice is harmless."""
        if not self._closed:
            self._closed = True
            self._settling.close()
            await self._nodes.close()

    async def _settled(self, make: Callable[[], Awaitable[T]]) -> T:
        """Make a call; if it fails because shards are not active yet, wait for them and make it again."""
        try:
            return await make()
        except FAILURES as error:
            if not may_be_settling(error) or not await self._has_settled():
                raise
        return await make()

    async def _has_settled(self) -> bool:
        node = (await self._open_nodes())[0]
        return await self._settling.wait(node.client)

    async def _hedged(self, call: Call[T]) -> T:
        """Return the first answer of one node or, if that node is slow, of two."""
        first, *others = await self._open_nodes()
        if not others:
            return await self._ask(first, call)
        asked = [asyncio.ensure_future(self._ask(first, call))]
        try:
            while not (await asyncio.wait(asked, timeout=HEDGE_SECONDS))[0]:
                if self._hedges < MAX_HEDGES or first.suspected:
                    break
            else:
                return await asked[0]
            self._hedges += 1
            try:
                asked.append(asyncio.ensure_future(self._ask(others[0], call)))
                return await _first_answer(asked)
            finally:
                self._hedges -= 1
                if not asked[0].done():
                    self._nodes.suspect(first, "another node answered sooner")
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _ask(self, node: Node, call: Call[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await call(node.client)
        except (TimeoutError, *FAILURES) as error:
            if blames_node(error):
                self._nodes.suspect(node, reason(error))
            raise

    async def _open_nodes(self) -> list[Node]:
        if self._closed:
            raise StoreUnavailable("The connection to Qdrant is closed.")
        return await self._nodes.in_order()

    def _failure(self, error: BaseException, limit: float) -> str:
        if isinstance(error, TimeoutError):
            get_logger().warning("qdrant_failed", url=self._url, error=f"no answer within {limit:g} s")
            return f"Qdrant did not answer within {limit:g} s."
        # The log has the addresses, which the operator needs; callers must not learn them.
        get_logger().warning("qdrant_failed", url=self._url, error=reason(error))
        failed = f"Qdrant failed: {told(error)}"
        if never_reached_grpc(error):
            failed += (
                f" Nothing answers gRPC, on port {self._grpc_port} if the address names no other. Set "
                "QDRANT_GRPC_PORT, or QDRANT_PREFER_GRPC=false to talk REST."
            )
        if self._settling.shards:
            failed += f" (no copy is active of shard {', '.join(map(str, self._settling.shards))})"
        return failed


async def _first_answer(tasks: Sequence[asyncio.Future[T]]) -> T:
    """Return the first result, or raise the last failure."""
    for finished in asyncio.as_completed(tasks):
        try:
            return await finished
        except (TimeoutError, *FAILURES) as error:
            failure = error
    raise failure


def _retries(attempts: int, *, several: bool) -> AsyncIterable[stamina.Attempt]:
    """Return the attempts of a call, with growing pauses between them."""

    def pause(error: Exception) -> bool | float:
        if isinstance(error, ResourceExhaustedResponse):
            return float(error.retry_after_s)
        return is_transient(error) or (several and is_not_found(error))

    return stamina.retry_context(
        pause, attempts=attempts, timeout=None, wait_initial=0.05, wait_max=0.5, wait_jitter=0.1
    )
