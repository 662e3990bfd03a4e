"""Waits for a collection whose shards are not active yet, because it is new or a node has just come back.

Until then Qdrant answers with errors of status 500 or 503 that look like other errors ("0 of 0 read operations
failed"). So we decide by the state of the shards what such an error means, not by its text.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from time import monotonic

from qdrant_client import AsyncQdrantClient, models

from image_similarity.telemetry.logging import get_logger
from image_similarity.vectors.qdrant_server.failures import FAILURES, reason

_READABLE = {models.ReplicaState.ACTIVE, models.ReplicaState.ACTIVEREAD, models.ReplicaState.RESHARDINGSCALEDOWN}
"""States that Qdrant reads from (`ReplicaState::is_readable`)."""

_POLL = 0.25
"""Seconds between two readings of the shards."""

_JUST_SETTLED = 5.0
"""Seconds after the end of a wait in which a failed call is tried again."""


def unsettled_shards(info: models.CollectionClusterInfo) -> list[int]:
    """Return the shards of which the answering node knows no readable copy."""
    states: defaultdict[int, set[models.ReplicaState]] = defaultdict(set)
    shards: list[models.LocalShardInfo | models.RemoteShardInfo] = [*info.local_shards, *info.remote_shards]
    for shard in shards:
        states[shard.shard_id].add(shard.state)
    return sorted(shard for shard, of_copies in states.items() if not of_copies & _READABLE)


class Settling:
    """Waits for the shards of one collection; any number of calls wait together."""

    def __init__(self, collection: str, within: float) -> None:
        """`within` is the longest wait in seconds, counted from the first call that has to wait."""
        self._collection = collection
        self._within = within
        self._waiting: asyncio.Task[bool] | None = None
        self._settled_at = -math.inf
        self.shards: list[int] = []
        """Shards that were not active at the last reading."""

    async def wait(self, client: AsyncQdrantClient) -> bool:
        """Wait while shards are not active; return whether they were inactive and are active now."""
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._watch(client))
            self._waiting.add_done_callback(self._forget)
        # shield: a cancelled caller must not end the wait of the others.
        return await asyncio.shield(self._waiting)

    def close(self) -> None:
        """Stop waiting."""
        if self._waiting is not None:
            self._waiting.cancel()

    def _forget(self, _: asyncio.Task[bool]) -> None:
        self._waiting = None

    async def _watch(self, client: AsyncQdrantClient) -> bool:
        if not await self._is_settling(client):
            # The call may have failed just before the wait of other calls ended.
            return monotonic() - self._settled_at < _JUST_SETTLED
        log = get_logger()
        log.info("collection_settling", collection=self._collection, at_most_seconds=self._within)
        started = monotonic()
        while monotonic() - started < self._within:
            await asyncio.sleep(_POLL)
            if not await self._is_settling(client):
                self._settled_at = monotonic()
                log.info("collection_settled", collection=self._collection, seconds=round(monotonic() - started, 1))
                return True
        log.warning("collection_still_settling", collection=self._collection, seconds=self._within)
        return False

    async def _is_settling(self, client: AsyncQdrantClient) -> bool:
        if not self._collection:
            return False
        try:
            self.shards = unsettled_shards(await client.collection_cluster_info(self._collection))
        except FAILURES as error:
            # If the state is unknown, waiting may not help.
            get_logger().debug("collection_state_unknown", reason=reason(error))
            self.shards = []
        return bool(self.shards)
