"""What a Qdrant cluster tells of its nodes, shards and transfers, and how it changes them, without any data.

A stand-in for the *metadata* of several nodes: it can show that our side asks in the right order and waits for the
right thing, never that Qdrant does as it says here. Each behaviour names its place in Qdrant's sources (1.19).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

NAME = "image_features"
ACTIVE = "Active"


@dataclass
class Moving:
    source: int
    target: int
    sync: bool
    looks: int
    """Times that it is still seen under way."""


@dataclass
class QdrantCluster:
    """Nodes are numbered from 1; `shards` has the state of each copy, by shard and node."""

    shards: dict[int, dict[int, str]]
    nodes: set[int] = field(default_factory=lambda: {1, 2, 3})
    silent: set[int] = field(default_factory=set)
    wanted: int = 2
    enabled: bool = True
    telemetry: bool = True
    """False as before 1.17."""
    leader: int = 1
    looks: int = 2
    """That a transfer takes."""
    aborting: int = 0
    """Transfers that fail, the next ones first."""
    stuck: bool = False
    """Transfers never end."""
    transfers: dict[int, Moving] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """What was changed, in order."""
    on_look: Callable[[], None] = lambda: None
    url: str = ""

    def act(self, change: dict[str, dict[str, int]]) -> str | None:
        """Begin a change, or return why it is refused."""
        ((kind, wanted),) = change.items()
        self.asked.append(f"{kind} {' '.join(str(value) for value in wanted.values() if value is not None)}")
        copies = self.shards[wanted["shard_id"]]
        if kind == "drop_replica":
            return self._drop(wanted["shard_id"], wanted["peer_id"])
        source, target = wanted["from_peer_id"], wanted["to_peer_id"]
        if kind == "abort_transfer":
            return self._abort(wanted["shard_id"], source, target)
        # transfer/helpers.rs, validate_transfer: both ends are members, the source is active, and no other transfer of
        # the shard has one of them.
        if not {source, target} <= self.nodes:
            return "Peer does not exist"
        if copies.get(source) != ACTIVE:
            return f"Shard {wanted['shard_id']} is not active on peer {source}"
        if wanted["shard_id"] in self.transfers:
            return f"Shard {wanted['shard_id']} is already involved in transfer"
        self.transfers[wanted["shard_id"]] = Moving(source, target, kind == "replicate_shard", self.looks)
        # collection/shard_transfer.rs, start_shard_transfer: a snapshot or WAL transfer makes the target "Recovery".
        copies[target] = "Recovery"
        return None

    def look(self) -> None:
        """Let time pass: each look at the cluster brings the transfers on."""
        self.on_look()
        for shard, moving in list(self.transfers.items()):
            moving.looks -= 1
            if self.stuck or moving.looks > 0 or {moving.source, moving.target} & self.silent:
                # collection/mod.rs, sync_local_state: only the source itself reports a transfer that ended or failed.
                continue
            if self.aborting:
                self.aborting -= 1
                self._abort(shard, moving.source, moving.target)
                continue
            # collection/shard_transfer.rs, finish_shard_transfer: the target is active, then the source of a move goes.
            del self.transfers[shard]
            self.shards[shard][moving.target] = ACTIVE
            if not moving.sync:
                del self.shards[shard][moving.source]

    def _abort(self, shard: int, source: int, target: int) -> str | None:
        moving = self.transfers.get(shard)
        if moving is None or (moving.source, moving.target) != (source, target):
            return "Shard transfer does not exist"
        del self.transfers[shard]
        # collection/shard_transfer.rs, abort_shard_transfer: a copy's target is dead, a move's target is gone.
        if moving.sync:
            self.shards[shard][target] = "Dead"
        else:
            del self.shards[shard][target]
        return None

    def _drop(self, shard: int, node: int) -> str | None:
        copies = self.shards[shard]
        # collection/collection_ops.rs, handle_replica_changes: never the last active copy, on a living node or not.
        if node not in copies:
            return f"Peer {node} has no replica of shard {shard}"
        if not [other for other, state in copies.items() if state == ACTIVE and other != node]:
            return f"Shard {shard} must have at least one active replica after removing {node}"
        del copies[node]
        return None

    def forget(self, node: int) -> str | None:
        """Take a node out, as DELETE /cluster/peer without force."""
        self.asked.append(f"remove_peer {node}")
        # actix/api/cluster_api.rs, remove_peer
        if any(node in copies for copies in self.shards.values()):
            return f"Cannot remove peer {node} as there are shards on it"
        self.nodes.discard(node)
        return None

    def uri(self, node: int) -> str:
        return f"http://qdrant-{node}:6335/"

    def status(self) -> dict[str, Any]:
        if not self.enabled:
            return {"status": "disabled"}
        # consensus_manager.rs, record_message_send_failure: by address, until the next message gets through.
        failures = {self.uri(node): {"count": 3, "latest_error": "refused"} for node in self.nodes & self.silent}
        return {
            "status": "enabled",
            "peer_id": 1,
            "peers": {str(node): {"uri": self.uri(node)} for node in self.nodes},
            "raft_info": {
                "term": 1,
                "commit": 9,
                "pending_operations": 0,
                "leader": self.leader,
                "role": "Leader" if self.leader == 1 else "Follower",
                "is_voter": True,
            },
            "consensus_thread_status": {"consensus_thread_status": "working", "last_update": "2026-01-02T03:04:05Z"},
            "message_send_failures": failures,
        }

    def moving(self) -> list[dict[str, Any]]:
        return [
            {
                "shard_id": shard,
                "from": moving.source,
                "to": moving.target,
                "sync": moving.sync,
                "method": "snapshot",
                "comment": "Transferring records (10/30)",
            }
            for shard, moving in self.transfers.items()
        ]

    def of_all(self, *, with_shards: bool) -> dict[str, Any]:
        """Answer GET /cluster/telemetry: telemetry_ops/distributed_telemetry.rs, resolve_telemetries."""
        replicas = {
            shard: [
                {"peer_id": node, "state": state, **({} if node in self.silent else {"num_points": 10})}
                for node, state in sorted(copies.items())
            ]
            for shard, copies in self.shards.items()
        }
        peers = {
            str(node): {"uri": self.uri(node), "responsive": node not in self.silent, "details": None}
            for node in self.nodes
        }
        shards = [{"id": shard, "replicas": copies} for shard, copies in replicas.items()]
        details = {"shards": shards, "shard_transfers": self.moving() or None} if with_shards else {}
        return {
            "collections": {NAME: {"id": NAME, **details}},
            "cluster": {"enabled": True, "number_of_peers": len(self.nodes), "peers": peers},
        }

    def of_one(self) -> dict[str, Any]:
        """Answer GET /collections/…/cluster from node 1: collection/collection_ops.rs, cluster_info."""
        every = [(shard, node, state) for shard, copies in self.shards.items() for node, state in copies.items()]
        return {
            "peer_id": 1,
            "shard_count": len(self.shards),
            "local_shards": [
                {"shard_id": shard, "points_count": 10, "state": state} for shard, node, state in every if node == 1
            ],
            "remote_shards": [
                {"shard_id": shard, "peer_id": node, "state": state} for shard, node, state in every if node != 1
            ],
            "shard_transfers": self.moving(),
        }

    def active(self, shard: int) -> int:
        return sum(state == ACTIVE and node not in self.silent for node, state in self.shards[shard].items())
