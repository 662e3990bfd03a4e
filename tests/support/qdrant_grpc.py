"""The gRPC interface of the Qdrant stand-in: the client's own converters around what answers REST."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message
from grpc import StatusCode, aio
from qdrant_client import grpc, models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

from tests.support.qdrant_refusal import Refused
from tests.support.qdrant_shard import Shard

T = TypeVar("T")
_CODES = {400: StatusCode.INVALID_ARGUMENT, 404: StatusCode.NOT_FOUND, 409: StatusCode.ALREADY_EXISTS}
_FIELD_TYPES = {
    grpc.FieldType.FieldTypeKeyword: models.PayloadSchemaType.KEYWORD,
    grpc.FieldType.FieldTypeFloat: models.PayloadSchemaType.FLOAT,
    grpc.FieldType.FieldTypeDatetime: models.PayloadSchemaType.DATETIME,
    grpc.FieldType.FieldTypeUuid: models.PayloadSchemaType.UUID,
}


class Shards(Protocol):
    """What `qdrant_collections.Node` offers."""

    version: str

    @property
    def names(self) -> list[str]: ...

    async def create(self, name: str, config: models.CreateCollection) -> None: ...

    async def drop(self, name: str) -> bool: ...

    async def on(self, name: str, work: Callable[[Shard], Any], *, wait: bool = True) -> Any: ...


async def start(node: Shards, host: str, port: int, api_key: str | None) -> aio.Server:
    """Serve in the running event loop."""
    server = aio.server(interceptors=[_RequireKey(api_key)] if api_key is not None else [])
    grpc.add_CollectionsServicer_to_server(_Collections(node), server)
    grpc.add_PointsServicer_to_server(_Points(node), server)
    grpc.add_QdrantServicer_to_server(_Qdrant(node), server)
    server.add_insecure_port(f"{host}:{port}")
    await server.start()
    return server


class _RequireKey(aio.ServerInterceptor):
    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = await continuation(details)
        if dict(details.invocation_metadata).get("api-key") == self._api_key:
            return handler

        async def refuse(_: Any, context: Any) -> None:
            await context.abort(StatusCode.UNAUTHENTICATED, "Invalid API key or JWT")

        return handler and handler._replace(unary_unary=refuse)


class _Servicer:
    def __init__(self, node: Shards) -> None:
        self._node = node

    async def _answer(self, context: aio.ServicerContext, work: Awaitable[T]) -> T:
        try:
            return await work
        except Refused as refusal:
            await context.abort(_CODES[refusal.status], refusal.message)
            raise AssertionError from refusal


class _Qdrant(_Servicer, grpc.QdrantServicer):
    async def HealthCheck(self, request: Any, context: Any) -> Any:  # noqa: N802 - the interface's names
        return grpc.HealthCheckReply(title="qdrant - vector search engine", version=self._node.version)


class _Collections(_Servicer, grpc.CollectionsServicer):
    async def CollectionExists(self, request: Any, context: Any) -> Any:  # noqa: N802 - the interface's names
        exists = request.collection_name in self._node.names
        return grpc.CollectionExistsResponse(result=grpc.CollectionExists(exists=exists))

    async def Get(self, request: Any, context: Any) -> Any:  # noqa: N802
        info = await self._answer(context, self._node.on(request.collection_name, Shard.info))
        return grpc.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(info))

    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        config = models.CreateCollection(
            vectors=GrpcToRest.convert_vectors_config(request.vectors_config),
            shard_number=_given(request, "shard_number"),
            replication_factor=_given(request, "replication_factor"),
            write_consistency_factor=_given(request, "write_consistency_factor"),
            hnsw_config=_given(request, "hnsw_config", GrpcToRest.convert_hnsw_config_diff),
            quantization_config=_given(request, "quantization_config", GrpcToRest.convert_quantization_config),
            strict_mode_config=_given(request, "strict_mode_config", GrpcToRest.convert_strict_mode_config),
            metadata=GrpcToRest.convert_payload(request.metadata),
        )
        await self._answer(context, self._node.create(request.collection_name, config))
        return grpc.CollectionOperationResponse(result=True)

    async def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        body = models.UpdateCollection(params=_given(request, "params", GrpcToRest.convert_collection_params_diff))
        await self._answer(context, self._node.on(request.collection_name, lambda shard: shard.update(body)))
        return grpc.CollectionOperationResponse(result=True)

    async def CollectionClusterInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        placed = await self._answer(context, self._node.on(request.collection_name, Shard.placement))
        shards = [
            grpc.LocalShardInfo(
                shard_id=shard.shard_id, points_count=shard.points_count, state=grpc.ReplicaState.Active
            )
            for shard in placed.local_shards
        ]
        return grpc.CollectionClusterInfoResponse(
            peer_id=placed.peer_id, shard_count=placed.shard_count, local_shards=shards
        )

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        return grpc.CollectionOperationResponse(result=await self._node.drop(request.collection_name))


class _Points(_Servicer, grpc.PointsServicer):
    async def CreateFieldIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        kind: Any = _FIELD_TYPES.get(request.field_type)
        if request.HasField("field_index_params"):
            kind = GrpcToRest.convert_payload_schema_params(request.field_index_params)
        body = models.CreateFieldIndex(field_name=request.field_name, field_schema=kind)
        return await self._write(request, context, lambda shard: shard.create_index(body))

    async def DeleteFieldIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._write(request, context, lambda shard: shard.delete_index(request.field_name))

    async def UpdateBatch(self, request: Any, context: Any) -> Any:  # noqa: N802
        operations = [GrpcToRest.convert_points_update_operation(operation) for operation in request.operations]
        answer = await self._write(request, context, lambda shard: shard.apply(operations))
        return grpc.UpdateBatchResponse(result=[answer.result] * len(operations), time=answer.time)

    async def Upsert(self, request: Any, context: Any) -> Any:  # noqa: N802
        body = models.PointsList(
            points=[GrpcToRest.convert_point_struct(point) for point in request.points],
            update_filter=_given(request, "update_filter", GrpcToRest.convert_filter),
        )
        return await self._write(request, context, lambda shard: shard.upsert(body))

    async def SetPayload(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.HasField("key"):
            raise Refused(400, "The stand-in sets whole fields only.")
        selected = GrpcToRest.convert_points_selector(request.points_selector)
        body = models.SetPayload(
            payload=GrpcToRest.convert_payload(request.payload),
            points=getattr(selected, "points", None),
            filter=getattr(selected, "filter", None),
        )
        return await self._write(request, context, lambda shard: shard.set_payload(body))

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        body = GrpcToRest.convert_points_selector(request.points)
        return await self._write(request, context, lambda shard: shard.delete(body))

    async def Get(self, request: Any, context: Any) -> Any:  # noqa: N802
        body = models.PointRequest(
            ids=[GrpcToRest.convert_point_id(point) for point in request.ids],
            with_payload=_given(request, "with_payload", GrpcToRest.convert_with_payload_selector),
            with_vector=_given(request, "with_vectors", GrpcToRest.convert_with_vectors_selector),
        )
        found = await self._read(request, context, lambda shard: shard.retrieve(body))
        return grpc.GetResponse(result=[RestToGrpc.convert_record(_with_payload(point)) for point in found])

    async def Query(self, request: Any, context: Any) -> Any:  # noqa: N802
        body = GrpcToRest.convert_query_points(request)
        found = await self._read(request, context, lambda shard: shard.query(body))
        return grpc.QueryResponse(result=[RestToGrpc.convert_scored_point(point) for point in found])

    async def Scroll(self, request: Any, context: Any) -> Any:  # noqa: N802
        body = models.ScrollRequest(
            offset=_given(request, "offset", GrpcToRest.convert_point_id),
            limit=_given(request, "limit"),
            filter=_given(request, "filter", GrpcToRest.convert_filter),
            with_payload=_given(request, "with_payload", GrpcToRest.convert_with_payload_selector),
            with_vector=_given(request, "with_vectors", GrpcToRest.convert_with_vectors_selector),
            order_by=_given(request, "order_by", GrpcToRest.convert_order_by),
        )
        found = await self._read(request, context, lambda shard: shard.scroll(body))
        return grpc.ScrollResponse(
            result=[RestToGrpc.convert_record(_with_payload(point)) for point in found.points],
            next_page_offset=found.next_page_offset and RestToGrpc.convert_extended_point_id(found.next_page_offset),
        )

    async def Count(self, request: Any, context: Any) -> Any:  # noqa: N802
        body = models.CountRequest(
            filter=_given(request, "filter", GrpcToRest.convert_filter), exact=_given(request, "exact")
        )
        counted = await self._read(request, context, lambda shard: shard.count(body))
        return grpc.CountResponse(result=grpc.CountResult(count=counted.count))

    async def Facet(self, request: Any, context: Any) -> Any:  # noqa: N802
        body = models.FacetRequest(
            key=request.key,
            limit=_given(request, "limit"),
            exact=_given(request, "exact"),
            filter=_given(request, "filter", GrpcToRest.convert_filter),
        )
        found = await self._read(request, context, lambda shard: shard.facet(body))
        return grpc.FacetResponse(hits=[RestToGrpc.convert_facet_value_hit(hit) for hit in found.hits])

    async def _read(self, request: Any, context: Any, work: Callable[[Shard], T]) -> T:
        result: T = await self._answer(context, self._node.on(request.collection_name, work))
        return result

    async def _write(self, request: Any, context: Any, work: Callable[[Shard], None]) -> Any:
        started = perf_counter()
        await self._answer(context, self._node.on(request.collection_name, work, wait=request.wait))
        status = grpc.UpdateStatus.Completed if request.wait else grpc.UpdateStatus.Acknowledged
        return grpc.PointsOperationResponse(
            result=grpc.UpdateResult(operation_id=0, status=status), time=perf_counter() - started
        )


def _given(request: Message, field: str, convert: Callable[[Any], Any] = lambda value: value) -> Any:
    return convert(getattr(request, field)) if request.HasField(field) else None


def _with_payload(point: models.Record) -> models.Record:
    return point.model_copy(update={"payload": point.payload or {}})
