"""Reads the placement of a Qdrant cluster, changes it by one step, and waits for nodes.

docs/decisions/0003-shard-placement.md says what Qdrant does in each case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from qdrant_client import models

from image_similarity.domain.errors import StoreUnavailable
from image_similarity.vectors.placement import Action, Copy, Node, Placement, Step, Transfer
from image_similarity.vectors.qdrant_server.client import QdrantCalls

_WITH_SHARDS = 3
"""Lowest level of detail at which the telemetry contains shards."""

_TELEMETRY_SECONDS = 2
"""Seconds that a node may take to collect its part of the telemetry."""

_CONSENSUS_SECONDS = 10
"""Seconds that Qdrant waits for the nodes to agree on a change; Qdrant's default."""

_PAUSE = 0.5
"""Seconds between two readings of the joined nodes."""


async def read(calls: QdrantCalls, name: str, wanted: int) -> Placement:
    """Return where the copies of a collection are; each shard should have `wanted` copies.

    Raises StoreUnavailable.
    """
    status = await calls.run(lambda client: client.cluster_status())
    if not isinstance(status, models.ClusterStatusOneOf1):
        return await _read_from_one(calls, name, wanted, status=None)
    try:
        found = await calls.run(
            lambda client: client.cluster_telemetry(details_level=_WITH_SHARDS, timeout=_TELEMETRY_SECONDS), attempts=1
        )
    except StoreUnavailable:
        # Qdrant before 1.17 lacks this call, and a node that hangs may delay it for longer than we wait.
        return await _read_from_one(calls, name, wanted, status)
    collection = found.collections.get(name)
    if found.cluster is None or collection is None or collection.shards is None:
        # An API key for single collections does not see the nodes.
        return await _read_from_one(calls, name, wanted, status)
    return Placement(
        nodes=tuple(Node(int(key), peer.uri, peer.responsive) for key, peer in sorted(found.cluster.peers.items())),
        shards=tuple(shard.id for shard in collection.shards),
        copies=tuple(
            Copy(shard.id, replica.peer_id, replica.state.value, replica.num_points)
            for shard in collection.shards
            for replica in shard.replicas
        ),
        transfers=_transfers(collection.shard_transfers or []),
        wanted=wanted,
    )


async def copies_wanted(calls: QdrantCalls, name: str) -> int:
    """Return how many copies of each shard the collection should have. Raises StoreUnavailable."""
    try:
        info = await calls.run(lambda client: client.get_collection(name))
    except StoreUnavailable:
        # get_collection asks every shard, and fails if one has no active copy; the telemetry only reads configurations.
        found = await calls.run(lambda client: client.http.service_api.telemetry(details_level=2))
        for one in (found.result.collections.collections if found.result else None) or []:
            if isinstance(one, models.CollectionTelemetry) and one.id == name and one.config is not None:
                return one.config.params.replication_factor or 1
        raise
    return info.config.params.replication_factor or 1


async def want_copies(calls: QdrantCalls, name: str, copies: int) -> None:
    """Change how many copies of each shard the collection should have, without making any. Raises StoreUnavailable."""
    params = models.CollectionParamsDiff(replication_factor=copies)
    await calls.write(lambda client: client.update_collection(name, collection_params=params))


async def carry_out(calls: QdrantCalls, name: str, step: Step) -> None:
    """Request one step, once; when this returns, a transfer has only begun.

    Raises StoreUnavailable if Qdrant refuses or does not answer; `read` shows whether the step is done.
    """
    if step.action is Action.FORGET:
        # Without force: then Qdrant refuses if the node still has a shard of any collection.
        await calls.write(lambda client: client.remove_peer(step.source, timeout=_CONSENSUS_SECONDS), attempts=1)
        return
    change = _change(step)
    await calls.write(
        lambda client: client.cluster_collection_update(name, change, timeout=_CONSENSUS_SECONDS), attempts=1
    )


async def wait_for_peers(
    calls: QdrantCalls, expected: int, within: float, on_wait: Callable[[list[str]], None] = lambda _: None
) -> None:
    """Wait up to `within` seconds until the cluster has `expected` nodes; a server without cluster mode counts as one.

    `on_wait` is called with the addresses of the present nodes at each change. Raises StoreUnavailable.
    """
    deadline = monotonic() + within
    told: list[str] | None = None
    while True:
        try:
            nodes, failure = await _members(calls), None
        except StoreUnavailable as error:
            nodes, failure = [], error
        if len(nodes) >= expected:
            return
        if monotonic() >= deadline:
            raise _too_few(nodes, expected, within) from failure
        if nodes != told:
            told = nodes
            on_wait(nodes)
        await asyncio.sleep(min(_PAUSE, max(0.0, deadline - monotonic())))


async def _members(calls: QdrantCalls) -> list[str]:
    status = await calls.run(lambda client: client.cluster_status())
    if isinstance(status, models.ClusterStatusOneOf1):
        return sorted(peer.uri for peer in status.peers.values())
    return [calls.url]


def _too_few(nodes: list[str], expected: int, within: float) -> StoreUnavailable:
    return StoreUnavailable(
        f"Qdrant has {len(nodes)} of the {expected} nodes that QDRANT_EXPECTED_PEERS asks for, after {within:g} s: "
        f"{', '.join(nodes) or 'none answers'}. The collection was not made, because all its copies would stay on "
        "these. Start the other nodes (the log of each says why it has not joined), then run this again; or set "
        "QDRANT_EXPECTED_PEERS to the number of nodes there are."
    )


async def _read_from_one(
    calls: QdrantCalls, name: str, wanted: int, status: models.ClusterStatusOneOf1 | None
) -> Placement:
    """Return what one node knows: points only of its own copies, and silent nodes only if it is the leader."""
    info = await calls.run(lambda client: client.collection_cluster_info(name))
    copies = [
        *(Copy(one.shard_id, info.peer_id, one.state.value, one.points_count) for one in info.local_shards),
        *(Copy(one.shard_id, one.peer_id, one.state.value) for one in info.remote_shards),
    ]
    return Placement(
        nodes=(Node(info.peer_id, calls.url),) if status is None else _nodes(status),
        # Shards are numbered from 0, except in collections with shard keys, which this program does not make.
        shards=tuple(sorted({*range(info.shard_count), *(copy.shard for copy in copies)})),
        copies=tuple(copies),
        transfers=_transfers(info.shard_transfers),
        wanted=wanted,
    )


def _nodes(status: models.ClusterStatusOneOf1) -> tuple[Node, ...]:
    # Only the leader writes to all nodes; a failure of another node may be long ago.
    leads = status.raft_info.role is models.StateRole.LEADER
    silent = set(status.message_send_failures) if leads else set()
    return tuple(Node(int(key), peer.uri, peer.uri not in silent) for key, peer in sorted(status.peers.items()))


def _transfers(transfers: list[models.ShardTransferInfo]) -> tuple[Transfer, ...]:
    return tuple(Transfer(one.shard_id, one.from_, one.to, not one.sync, one.comment or "") for one in transfers)


def _change(step: Step) -> models.ClusterOperations:
    shard, source, target = step.shard, step.source, step.target
    match step.action:
        case Action.COPY:
            copy = models.ReplicateShard(shard_id=shard, from_peer_id=source, to_peer_id=target)
            return models.ReplicateShardOperation(replicate_shard=copy)
        case Action.MOVE:
            move = models.MoveShard(shard_id=shard, from_peer_id=source, to_peer_id=target)
            return models.MoveShardOperation(move_shard=move)
        case Action.ABORT:
            abort = models.AbortShardTransfer(shard_id=shard, from_peer_id=source, to_peer_id=target)
            return models.AbortTransferOperation(abort_transfer=abort)
        case _:
            return models.DropReplicaOperation(drop_replica=models.Replica(shard_id=shard, peer_id=source))
