"""What a Qdrant cluster tells of its nodes, shards and transfers, and how it changes them, without any data.

A stand-in for the *metadata* of several nodes: it can show that our side asks in the right order and waits for the
right thing, never that Qdrant does as it says here. Each behaviour names its place in Qdrant's sources (1.19).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.servers import PATIENCE, free_port, wait_for

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


def _answer(result: Any) -> Response:
    return JSONResponse({"result": result, "status": "ok", "time": 0.0})


def _failure(status: int, error: str) -> Response:
    return JSONResponse({"status": {"error": error}, "time": 0.0}, status)


def _outcome(refusal: str | None) -> Response:
    return _answer(True) if refusal is None else _failure(400, f"Bad request: {refusal}")


class _Endpoints:
    def __init__(self, cluster: QdrantCluster) -> None:
        self._cluster = cluster

    async def status(self, _: Request) -> Response:
        return _answer(self._cluster.status())

    async def telemetry(self, request: Request) -> Response:
        if not self._cluster.telemetry:
            return Response(status_code=404)
        self._cluster.look()
        # collection/telemetry.rs, get_telemetry_data
        detailed = int(request.query_params.get("details_level", 0)) >= 3
        return _answer(self._cluster.of_all(with_shards=detailed))

    async def own_telemetry(self, _: Request) -> Response:
        # collection/telemetry.rs, get_telemetry_data: the configuration as it is, without asking a shard.
        collection = {"id": NAME, "config": self._config()}
        return _answer({"id": "x", "collections": {"number_of_collections": 1, "collections": [collection]}})

    async def of_one(self, _: Request) -> Response:
        self._cluster.look()
        return _answer(self._cluster.of_one())

    async def change(self, request: Request) -> Response:
        return _outcome(self._cluster.act(await request.json()))

    async def forget(self, request: Request) -> Response:
        return _outcome(self._cluster.forget(int(request.path_params["peer"])))

    async def info(self, _: Request) -> Response:
        # collection_ops.rs, info: asks every shard, and fails with one that has no copy to ask.
        if not all(self._cluster.active(shard) for shard in self._cluster.shards):
            return _failure(500, "Service internal error: 0 of 0 read operations failed")
        state = {"status": "green", "optimizer_status": "ok", "segments_count": 1, "payload_schema": {}}
        return _answer({**state, "config": self._config()})

    def _config(self) -> dict[str, Any]:
        return {
            "params": {"shard_number": len(self._cluster.shards), "replication_factor": self._cluster.wanted},
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 1},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 9,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
            },
            "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
        }

    async def update(self, request: Request) -> Response:
        # collection_ops.rs, update_params_from_diff: changes what is wanted, and moves nothing.
        self._cluster.wanted = (await request.json())["params"]["replication_factor"]
        self._cluster.asked.append(f"replication_factor {self._cluster.wanted}")
        return _answer(True)


def _app(cluster: QdrantCluster) -> Starlette:
    on = _Endpoints(cluster)
    return Starlette(
        routes=[
            Route("/cluster", on.status),
            Route("/cluster/telemetry", on.telemetry),
            Route("/telemetry", on.own_telemetry),
            Route("/cluster/peer/{peer}", on.forget, methods=["DELETE"]),
            Route(f"/collections/{NAME}", on.info, methods=["GET"]),
            Route(f"/collections/{NAME}", on.update, methods=["PATCH"]),
            Route(f"/collections/{NAME}/cluster", on.of_one, methods=["GET"]),
            Route(f"/collections/{NAME}/cluster", on.change, methods=["POST"]),
        ]
    )


@contextmanager
def running_cluster(cluster: QdrantCluster) -> Iterator[QdrantCluster]:
    """Serve in a thread of this process."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(_app(cluster), host="127.0.0.1", port=port, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started or not thread.is_alive(), "the cluster did not start")
    assert server.started
    cluster.url = f"http://127.0.0.1:{port}"
    try:
        yield cluster
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the cluster did not stop"
