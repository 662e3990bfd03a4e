"""The interface of `qdrant_cluster`: what it tells and takes over HTTP, in a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.qdrant_cluster import NAME, QdrantCluster
from tests.support.servers import PATIENCE, free_port, wait_for


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
