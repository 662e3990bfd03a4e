"""A collection of the Qdrant stand-in: the client's request models answered from one shard of Qdrant Edge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from tests.support import qdrant_queries
from tests.support.qdrant_conditions import fields_of, to_edge
from tests.support.qdrant_queries import to_edge_params, to_edge_payload, to_edge_prefetches
from tests.support.qdrant_refusal import Refused, only

SCHEMA = {
    models.PayloadSchemaType.KEYWORD: edge.PayloadSchemaType.Keyword,
    models.PayloadSchemaType.FLOAT: edge.PayloadSchemaType.Float,
    models.PayloadSchemaType.DATETIME: edge.PayloadSchemaType.Datetime,
    models.PayloadSchemaType.UUID: edge.PayloadSchemaType.Uuid,
}
_DIRECTIONS = {models.Direction.ASC: edge.Direction.Asc, models.Direction.DESC: edge.Direction.Desc}


class Shard:
    """One collection; every method runs in the one thread that holds it."""

    def __init__(self, folder: Path, config: models.CreateCollection) -> None:
        self._folder = folder
        self._config = config
        self._shard = edge.EdgeShard.load(str(folder / "shard"))

    @classmethod
    def create(cls, folder: Path, config: models.CreateCollection) -> Shard:
        only(
            config,
            "vectors",
            "shard_number",
            "replication_factor",
            "write_consistency_factor",
            "hnsw_config",
            "quantization_config",
            "strict_mode_config",
            "metadata",
        )
        if config.strict_mode_config is not None:
            only(config.strict_mode_config, "enabled", "unindexed_filtering_update")
        if not isinstance(config.vectors, dict):
            raise Refused(400, "The stand-in knows named vectors only.")
        vectors = {}
        for name, params in config.vectors.items():
            only(params, "size", "distance")
            vectors[name] = edge.EdgeVectorParams(size=params.size, distance=getattr(edge.Distance, params.distance))
        folder.mkdir(parents=True)
        edge.EdgeShard.create(str(folder / "shard"), edge.EdgeConfig(vectors=vectors, wal_enabled=True)).close()
        # Last: a folder without it was left by a server that was killed meanwhile.
        (folder / "config.json").write_text(config.model_dump_json(exclude_none=True))
        return cls(folder, config)

    @classmethod
    def load(cls, folder: Path) -> Shard:
        return cls(folder, models.CreateCollection.model_validate_json((folder / "config.json").read_text()))

    def close(self) -> None:
        self._shard.flush()
        self._shard.close()

    def info(self) -> models.CollectionInfo:
        state, config = self._shard.info(), self._config
        hnsw = config.hnsw_config or models.HnswConfigDiff()
        return models.CollectionInfo(
            status=models.CollectionStatus.GREEN,
            optimizer_status=models.OptimizersStatusOneOf.OK,
            points_count=state.points_count,
            indexed_vectors_count=state.indexed_vectors_count,
            segments_count=state.segments_count,
            config=models.CollectionConfig(
                params=models.CollectionParams(
                    vectors=config.vectors,
                    shard_number=config.shard_number or 1,
                    replication_factor=config.replication_factor or 1,
                    write_consistency_factor=config.write_consistency_factor or 1,
                ),
                hnsw_config=models.HnswConfig(
                    m=hnsw.m or 16, ef_construct=hnsw.ef_construct or 100, full_scan_threshold=10_000
                ),
                optimizer_config=models.OptimizersConfig(
                    deleted_threshold=0.2,
                    vacuum_min_vector_number=1000,
                    default_segment_number=0,
                    flush_interval_sec=5,
                ),
                wal_config=models.WalConfig(wal_capacity_mb=32, wal_segments_ahead=0),
                quantization_config=config.quantization_config,
                strict_mode_config=self._strict and models.StrictModeConfigOutput(**self._strict.model_dump()),
                metadata=config.metadata,
            ),
            payload_schema={path: _index_info(index) for path, index in state.payload_schema.items()},
        )

    def update(self, request: models.UpdateCollection) -> None:
        only(request, "params")
        params = request.params or models.CollectionParamsDiff()
        only(params, "write_consistency_factor")
        self._config = self._config.model_copy(update=params.model_dump(exclude_none=True))
        (self._folder / "config.json").write_text(self._config.model_dump_json(exclude_none=True))

    def placement(self) -> models.CollectionClusterInfo:
        """Say that all shards are here, active, as a single node does."""
        count = self._config.shard_number or 1
        points = self._shard.info().points_count
        shards = [
            models.LocalShardInfo(shard_id=shard, points_count=points // count, state=models.ReplicaState.ACTIVE)
            for shard in range(count)
        ]
        return models.CollectionClusterInfo(
            peer_id=1, shard_count=count, local_shards=shards, remote_shards=[], shard_transfers=[]
        )

    def create_index(self, request: models.CreateFieldIndex) -> None:
        schema: Any = request.field_schema
        if isinstance(schema, models.TextIndexParams):
            schema = qdrant_queries.to_edge_index(schema)
        elif schema in SCHEMA:
            schema = SCHEMA[schema]
        else:
            raise Refused(400, f"The stand-in knows no index of the type {schema!r}.")
        self._update(edge.UpdateOperation.create_field_index(request.field_name, schema))

    def delete_index(self, path: str) -> None:
        self._update(edge.UpdateOperation.delete_field_index(path))

    def apply(self, operations: list[Any]) -> None:
        for operation in operations:
            if not isinstance(operation, models.SetPayloadOperation):
                raise Refused(400, f"The stand-in does not know {type(operation).__name__} in a batch.")
            self.set_payload(operation.set_payload)

    def upsert(self, request: models.PointsList) -> None:
        only(request, "points", "update_filter")
        if request.update_filter is not None:
            self._check_indexed(request.update_filter)
        self._update(
            edge.UpdateOperation.upsert_points(
                [edge.Point(str(point.id), point.vector, point.payload) for point in request.points],
                condition=to_edge(request.update_filter),
            )
        )

    def set_payload(self, request: models.SetPayload) -> None:
        only(request, "payload", "points", "filter")
        if request.filter is not None:
            self._check_indexed(request.filter)
            selected = to_edge(request.filter)
            self._update(edge.UpdateOperation.set_payload_by_filter(selected, request.payload))
            return
        points = [str(point) for point in request.points or []]
        found = {str(point.id) for point in self._shard.retrieve(points, False, False)}
        if missing := [point for point in points if point not in found]:
            raise Refused(404, f"Not found: No point with id {missing[0]} found")
        self._update(edge.UpdateOperation.set_payload(points, request.payload))

    def delete(self, request: models.FilterSelector) -> None:
        only(request, "filter")
        self._check_indexed(request.filter)
        selected = to_edge(request.filter)
        self._update(edge.UpdateOperation.delete_points_by_filter(selected))

    def retrieve(self, request: models.PointRequest) -> list[models.Record]:
        only(request, "ids", "with_payload", "with_vector")
        wanted = True if request.with_payload is None else request.with_payload
        found = self._shard.retrieve(
            [str(point) for point in request.ids], to_edge_payload(wanted), request.with_vector
        )
        return [_record(point) for point in found]

    def query(self, request: models.QueryRequest) -> list[models.ScoredPoint]:
        only(
            request,
            "query",
            "prefetch",
            "using",
            "filter",
            "params",
            "score_threshold",
            "limit",
            "with_payload",
            "with_vector",
        )
        found = self._run(
            lambda: self._shard.query(
                edge.QueryRequest(
                    limit=10 if request.limit is None else request.limit,
                    query=qdrant_queries.to_edge_query(request.query, request.using),
                    prefetches=to_edge_prefetches(request.prefetch),
                    filter=to_edge(request.filter),
                    score_threshold=request.score_threshold,
                    with_payload=to_edge_payload(request.with_payload or False),
                    with_vector=request.with_vector,
                    params=to_edge_params(request.params),
                )
            )
        )
        return [
            models.ScoredPoint(
                id=str(point.id), version=point.version, score=point.score, payload=point.payload, vector=point.vector
            )
            for point in found
        ]

    def scroll(self, request: models.ScrollRequest) -> models.ScrollResult:
        only(request, "offset", "limit", "filter", "with_payload", "with_vector", "order_by")
        order = request.order_by
        if isinstance(order, str):
            order = models.OrderBy(key=order)
        if order is not None:
            only(order, "key", "direction")
            if order.key not in self._shard.info().payload_schema:
                raise Refused(400, f"Bad request: No range index for `order_by` key: `{order.key}`.")
        direction = (order.direction if order else None) or models.Direction.ASC
        points, following = self._run(
            lambda: self._shard.scroll(
                edge.ScrollRequest(
                    offset=None if request.offset is None else str(request.offset),
                    limit=10 if request.limit is None else request.limit,
                    filter=to_edge(request.filter),
                    with_payload=to_edge_payload(True if request.with_payload is None else request.with_payload),
                    with_vector=request.with_vector,
                    order_by=edge.OrderBy(order.key, direction=_DIRECTIONS[direction]) if order else None,
                )
            )
        )
        return models.ScrollResult(
            points=[_record(point) for point in points],
            next_page_offset=None if following is None else str(following),
        )

    def count(self, request: models.CountRequest) -> models.CountResult:
        only(request, "filter", "exact")
        exact = True if request.exact is None else request.exact
        counting = edge.CountRequest(exact=exact, filter=to_edge(request.filter))
        return models.CountResult(count=self._run(lambda: self._shard.count(counting)))

    def facet(self, request: models.FacetRequest) -> models.FacetResponse:
        only(request, "key", "limit", "exact")
        asked = edge.FacetRequest(request.key, limit=request.limit or 10, exact=request.exact or False)
        found = self._run(lambda: self._shard.facet(asked))
        return models.FacetResponse(hits=[models.FacetValueHit(value=hit.value, count=hit.count) for hit in found.hits])

    @property
    def _strict(self) -> models.StrictModeConfig | None:
        return self._config.strict_mode_config

    def _check_indexed(self, condition: models.Filter) -> None:
        if self._strict and self._strict.enabled and self._strict.unindexed_filtering_update is False:
            present = self._shard.info().payload_schema
            if missing := [field for field in fields_of(condition) if field not in present]:
                raise Refused(400, f'Bad request: Index required but not found for "{missing[0]}".')

    def _update(self, operation: edge.UpdateOperation) -> None:
        self._run(lambda: self._shard.update(operation))

    def _run(self, call: Any) -> Any:
        try:
            return call()
        except Exception as error:
            raise Refused(400, f"Wrong input: {error}") from error


def _record(point: edge.Record) -> models.Record:
    return models.Record(id=str(point.id), payload=point.payload, vector=point.vector)


def _index_info(index: Any) -> models.PayloadIndexInfo:
    if index.data_type == edge.PayloadSchemaType.Text:
        params = qdrant_queries.from_edge_index(index.params)
        return models.PayloadIndexInfo(data_type=models.PayloadSchemaType.TEXT, params=params, points=index.points)
    return models.PayloadIndexInfo(data_type=_kind(index.data_type), points=index.points)


def _kind(data_type: edge.PayloadSchemaType) -> models.PayloadSchemaType:
    return next(kind for kind, known in SCHEMA.items() if known == data_type)
