"""A stand-in for a Qdrant server, for machines that have none: its REST interface over shards of Qdrant Edge.

With `--grpc-port` it answers gRPC too. It knows what `image_similarity` asks of a server and refuses everything else.
Collections are kept in a folder, and what was acknowledged survives `kill -9`. It is one process and one node: numbers
of shards and copies are accepted and reported only.

    python -m tests.support.qdrant_server --port 6333 --data /tmp/qdrant

This file reads requests over REST, `qdrant_grpc` over gRPC. `qdrant_collections` keeps the collections, `qdrant_shard`
answers for one from a shard of Edge, with `qdrant_conditions` for filters and `qdrant_queries` for queries and text
indexes; `qdrant_refusal` is the error of all of them. `qdrant_process` starts and kills the program for a test. Not
part of the stand-in: `qdrant_cluster` is a cluster's account of its shards without data, which
`qdrant_cluster_server` tells over HTTP, and `qdrant_nodes` runs real nodes.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import uvicorn
from pydantic import BaseModel, TypeAdapter, ValidationError
from qdrant_client import models
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.support import qdrant_grpc
from tests.support.qdrant_collections import VERSION, Node
from tests.support.qdrant_refusal import Refused
from tests.support.qdrant_shard import Shard

Body = TypeVar("Body", bound=BaseModel)
Endpoint = Callable[[Request], Any]

_ORDERINGS = {ordering.value for ordering in models.WriteOrdering}


async def root(request: Request) -> Response:
    return JSONResponse({"title": "qdrant - vector search engine", "version": _node(request).version})


async def healthy(request: Request) -> Response:
    return PlainTextResponse(f"{request.url.path.strip('/')} check passed")


async def list_collections(request: Request) -> Any:
    return {"collections": [{"name": name} for name in _node(request).names]}


async def get_collection(request: Request) -> Any:
    return await _node(request).on(_name(request), Shard.info)


async def cluster_status(_: Request) -> Any:
    return {"status": "disabled"}


async def collection_exists(request: Request) -> Any:
    return {"exists": _name(request) in _node(request).names}


async def create_collection(request: Request) -> Any:
    _only_parameters(request, "timeout")
    await _node(request).create(_name(request), await _body(request, models.CreateCollection))
    return True


async def update_collection(request: Request) -> Any:
    _only_parameters(request, "timeout")
    body = await _body(request, models.UpdateCollection)
    await _node(request).on(_name(request), lambda shard: shard.update(body))
    return True


async def collection_cluster(request: Request) -> Any:
    return await _node(request).on(_name(request), Shard.placement)


async def delete_collection(request: Request) -> Any:
    _only_parameters(request, "timeout")
    return await _node(request).drop(_name(request))


def writing(model: type[Body], work: Callable[[Shard, Body], None]) -> Endpoint:
    """Make an endpoint that hands its body to a shard, and answers at once where it is not asked to wait."""

    async def endpoint(request: Request) -> Any:
        _only_parameters(request, "wait", "ordering", "timeout")
        wait = _wait(request)
        body = await _body(request, model)
        await _node(request).on(_name(request), lambda shard: work(shard, body), wait=wait)
        return {"operation_id": 0, "status": "completed" if wait else "acknowledged"}

    return endpoint


async def delete_index(request: Request) -> Any:
    _only_parameters(request, "wait", "ordering", "timeout")
    path = str(request.path_params["path"])
    await _node(request).on(_name(request), lambda shard: shard.delete_index(path), wait=_wait(request))
    return {"operation_id": 0, "status": "completed" if _wait(request) else "acknowledged"}


async def batch(request: Request) -> Any:
    _only_parameters(request, "wait", "ordering", "timeout")
    operations = (await _body(request, models.UpdateOperations)).operations
    await _node(request).on(_name(request), lambda shard: shard.apply(operations), wait=_wait(request))
    return [{"operation_id": 0, "status": "completed" if _wait(request) else "acknowledged"} for _ in operations]


def reading(model: type[Body], work: Callable[[Shard, Body], Any]) -> Endpoint:
    """Make an endpoint that answers with what a shard makes of its body."""

    async def endpoint(request: Request) -> Any:
        _only_parameters(request, "timeout", "consistency")
        body = await _body(request, model)
        return await _node(request).on(_name(request), lambda shard: work(shard, body))

    return endpoint


def _query(shard: Shard, body: models.QueryRequest) -> Any:
    return {"points": shard.query(body)}


_COLLECTION = "/collections/{name}"
_POINTS = f"{_COLLECTION}/points"
ENDPOINTS: list[tuple[str, str, Endpoint]] = [
    ("GET", "/collections", list_collections),
    ("GET", _COLLECTION, get_collection),
    ("PUT", _COLLECTION, create_collection),
    ("PATCH", _COLLECTION, update_collection),
    ("DELETE", _COLLECTION, delete_collection),
    ("GET", f"{_COLLECTION}/cluster", collection_cluster),
    ("GET", f"{_COLLECTION}/exists", collection_exists),
    ("GET", "/cluster", cluster_status),
    ("PUT", f"{_COLLECTION}/index", writing(models.CreateFieldIndex, Shard.create_index)),
    ("DELETE", f"{_COLLECTION}/index/{{path:path}}", delete_index),
    ("PUT", _POINTS, writing(models.PointsList, Shard.upsert)),
    ("POST", f"{_POINTS}/payload", writing(models.SetPayload, Shard.set_payload)),
    ("POST", f"{_POINTS}/batch", batch),
    ("POST", f"{_POINTS}/delete", writing(models.FilterSelector, Shard.delete)),
    ("POST", _POINTS, reading(models.PointRequest, Shard.retrieve)),
    ("POST", f"{_POINTS}/query", reading(models.QueryRequest, _query)),
    ("POST", f"{_POINTS}/scroll", reading(models.ScrollRequest, Shard.scroll)),
    ("POST", f"{_COLLECTION}/facet", reading(models.FacetRequest, Shard.facet)),
    ("POST", f"{_POINTS}/count", reading(models.CountRequest, Shard.count)),
]


def create_app(node: Node, api_key: str | None = None) -> Starlette:
    """Return the application over a node."""
    app = Starlette(
        routes=[
            Route("/", root),
            *(Route(path, healthy) for path in ("/healthz", "/readyz", "/livez")),
            *(Route(path, _answer(endpoint, api_key), methods=[method]) for method, path, endpoint in ENDPOINTS),
        ]
    )
    app.state.node = node
    return app


def _answer(endpoint: Endpoint, api_key: str | None) -> Endpoint:
    """Put a result, or a refusal, into Qdrant's envelope."""

    async def answer(request: Request) -> Response:
        started = perf_counter()
        if api_key is not None and request.headers.get("api-key") != api_key:
            return PlainTextResponse("Must provide an API key or an Authorization bearer token", 401)
        try:
            result = await endpoint(request)
        except Refused as refusal:
            body = {"status": {"error": refusal.message}, "time": perf_counter() - started}
            return JSONResponse(body, refusal.status)
        dumped = TypeAdapter(Any).dump_python(result, mode="json", exclude_none=True)
        return JSONResponse({"result": dumped, "status": "ok", "time": perf_counter() - started})

    return answer


def _node(request: Request) -> Node:
    node: Node = request.app.state.node
    return node


def _name(request: Request) -> str:
    return str(request.path_params["name"])


async def _body(request: Request, model: type[Body]) -> Body:
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise Refused(400, f"Format error in JSON body: {error}") from error


def _only_parameters(request: Request, *known: str) -> None:
    if unknown := [name for name in request.query_params if name not in known]:
        raise Refused(400, f"The stand-in does not know the parameter {unknown[0]}.")
    ordering = request.query_params.get("ordering")
    if ordering is not None and ordering not in _ORDERINGS:
        raise Refused(400, f"Unknown ordering {ordering}.")


def _wait(request: Request) -> bool:
    wait = request.query_params.get("wait", "false")
    if wait not in ("true", "false"):
        raise Refused(400, f"wait is true or false, not {wait}.")
    return wait == "true"


def main() -> None:
    parser = argparse.ArgumentParser(description="A stand-in for a Qdrant server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6333)
    parser.add_argument("--grpc-port", type=int, help="default: REST only")
    parser.add_argument("--data", type=Path, required=True, help="folder to keep the collections in")
    parser.add_argument("--api-key")
    parser.add_argument("--version", default=VERSION, help="what it says that it is")
    given = parser.parse_args()
    given.data.mkdir(parents=True, exist_ok=True)
    node = Node(given.data, given.version)
    node.load()
    asyncio.run(serve(node, given.host, given.port, given.grpc_port, given.api_key))


async def serve(node: Node, host: str, port: int, grpc_port: int | None, api_key: str | None) -> None:
    """Serve until a signal says to stop."""
    rest = uvicorn.Server(uvicorn.Config(create_app(node, api_key), host=host, port=port, log_level="warning"))
    # First, so that the ports are all open when /readyz answers.
    grpc = None if grpc_port is None else await qdrant_grpc.start(node, host, grpc_port, api_key)
    await rest.serve()
    if grpc is not None:
        await grpc.stop(grace=1)
    await node.close()


if __name__ == "__main__":
    main()
