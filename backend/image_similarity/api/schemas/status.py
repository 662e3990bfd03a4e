"""The JSON schemas of the service's state: figures and health."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from image_similarity import __version__
from image_similarity.engine.stats import EngineStats
from image_similarity.jobs.base import QueueInfo


class ModelStatus(BaseModel):
    """The running model."""

    name: str
    dimension: int
    towers: list[str] = Field(description="The inputs that it can encode: image, text.")
    device: str
    precision: str
    fallback_reason: str | None = Field(
        description="Why the offline model replaces the requested one; null if it does not."
    )


class TextModelStatus(BaseModel):
    """The encoder of texts: the model's own text tower, or the one of TEXT_MODEL_NAME."""

    name: str
    loaded: bool = Field(description="Whether it is in memory; a model's own text tower is loaded at the first text.")
    max_tokens: int = Field(description="Most tokens of a text that it reads; later ones are ignored.")


class PlacementStatus(BaseModel):
    """The copies of the collection's shards on the nodes of the Qdrant server; up to 15 s old."""

    nodes: int
    silent_nodes: int = Field(description="Nodes that do not answer the others.")
    shards: int
    copies_wanted: int = Field(description="Of all shards together; copies_active likewise.")
    copies_active: int = Field(description="Copies that answer searches and take writes.")
    shards_short: int = Field(description="Shards with fewer active copies than wanted.")
    shards_over: int = Field(description="Shards with more active copies than wanted.")
    shards_on_one_node: int = Field(
        description="Shards that have active copies on at most one node, although more than one copy is wanted."
    )


class CollectionStatus(BaseModel):
    """The collection."""

    name: str
    images: int
    model: str
    dimension: int
    indexed_vectors: int = Field(description="Covered by an HNSW graph; the others are searched exactly.")
    field_indexes: list[str]
    placement: PlacementStatus | None = Field(
        description="null if the collection is in this process, or while the cluster does not answer."
    )


class CacheTierStatus(BaseModel):
    """One tier of the cache."""

    tier: str
    entries: int | None = Field(description="null if replicas share the tier.")
    bytes: int | None
    hits: dict[str, int]
    misses: dict[str, int]
    breaker: str | None = Field(
        description="closed; open or half_open while the tier does not answer; null if it is part of the process."
    )


class QueueStatus(BaseModel):
    """The queue of images that wait for the model."""

    depth: int
    limit: int


class JobQueueStatus(BaseModel):
    """The queue of the chunks of bulk jobs."""

    kind: str = Field(description="in_process or rabbitmq.")
    waiting: int = Field(description="Chunks that no worker has taken yet.")
    dead_letters: int = Field(description="Chunks that were given up.")
    workers: int | None = Field(description="How many workers take chunks; null if unknown.")
    problem: str | None = Field(description="Why the queue does not work now; null if it does.")


class StatsResponse(BaseModel):
    """The state of the service in numbers."""

    version: str
    uptime_seconds: float
    model: ModelStatus
    text_model: TextModelStatus | None = Field(description="null if the model reads no texts.")
    collection: CollectionStatus
    queue: QueueStatus
    cache: list[CacheTierStatus]
    jobs: JobQueueStatus | None = Field(description="null if the command line itself has the data folder open.")
    recommendations: list[str] = Field(description="Advice for the operator; usually empty.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "version": "0.1.0",
                    "uptime_seconds": 86.4,
                    "model": {
                        "name": "openai/clip-vit-base-patch32",
                        "dimension": 512,
                        "towers": ["image", "text"],
                        "device": "cpu",
                        "precision": "bf16",
                        "fallback_reason": None,
                    },
                    "text_model": {"name": "openai/clip-vit-base-patch32", "loaded": True, "max_tokens": 77},
                    "collection": {
                        "name": "image_features",
                        "images": 1200,
                        "model": "openai/clip-vit-base-patch32",
                        "dimension": 512,
                        "indexed_vectors": 0,
                        "field_indexes": ["species"],
                        "placement": {
                            "nodes": 3,
                            "silent_nodes": 0,
                            "shards": 3,
                            "copies_wanted": 6,
                            "copies_active": 6,
                            "shards_short": 0,
                            "shards_over": 0,
                            "shards_on_one_node": 0,
                        },
                    },
                    "queue": {"depth": 0, "limit": 256},
                    "cache": [
                        {
                            "tier": "l1",
                            "entries": 3,
                            "bytes": 8052,
                            "hits": {"embedding": 1, "result": 2},
                            "misses": {"embedding": 2, "result": 2},
                            "breaker": None,
                        },
                        {
                            "tier": "l2",
                            "entries": None,
                            "bytes": None,
                            "hits": {"embedding": 1, "result": 1},
                            "misses": {"embedding": 1, "result": 1},
                            "breaker": "closed",
                        },
                    ],
                    "jobs": {
                        "kind": "in_process",
                        "waiting": 3,
                        "dead_letters": 0,
                        "workers": 1,
                        "problem": None,
                    },
                    "recommendations": [],
                }
            ]
        }
    )

    @classmethod
    def of(
        cls, stats: EngineStats, *, uptime_seconds: float, queue_limit: int, jobs: QueueInfo | None = None
    ) -> StatsResponse:
        """Return the document of an engine's figures and of the queue of bulk jobs."""
        model, text_model, collection = stats.model, stats.text_model, stats.collection
        return cls(
            version=__version__,
            uptime_seconds=round(uptime_seconds, 1),
            model=ModelStatus(
                name=model.spec.name,
                dimension=model.spec.dimension,
                towers=sorted(model.spec.towers),
                device=model.device,
                precision=model.precision,
                fallback_reason=model.fallback_reason,
            ),
            text_model=TextModelStatus(**asdict(text_model)) if text_model is not None else None,
            collection=CollectionStatus(**{**asdict(collection), "field_indexes": list(collection.field_indexes)}),
            queue=QueueStatus(depth=stats.queue_depth, limit=queue_limit),
            cache=[CacheTierStatus(**asdict(tier)) for tier in stats.cache],
            jobs=JobQueueStatus(**asdict(jobs)) if jobs is not None else None,
            recommendations=stats.recommendations,
        )


class WarmResponse(BaseModel):
    """The result of warming the cache."""

    loaded: int = Field(description="Embeddings that were loaded.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"loaded": 250}]})


class ServiceHealth(BaseModel):
    """One part of the service."""

    status: Literal["ok", "unavailable"]
    detail: str | None = None
    checked_seconds_ago: float | None = Field(
        default=None, description="Age of this result; null for a part of the process, whose state is always known."
    )


class HealthResponse(BaseModel):
    """The health of the process and its parts."""

    status: Literal["healthy", "degraded", "unhealthy"] = Field(
        description="degraded: a part that replicas share is away; unhealthy: this process itself has a problem."
    )
    timestamp: datetime
    version: str
    services: dict[str, ServiceHealth]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "healthy",
                    "timestamp": "2026-01-02T03:04:05Z",
                    "version": "0.1.0",
                    "services": {
                        "model": {
                            "status": "ok",
                            "detail": "openai/clip-vit-base-patch32 on cpu in bf16",
                            "checked_seconds_ago": None,
                        },
                        "vector_store": {"status": "ok", "detail": None, "checked_seconds_ago": 2.1},
                        "storage": {"status": "ok", "detail": None, "checked_seconds_ago": 2.1},
                        "disk": {"status": "ok", "detail": None, "checked_seconds_ago": 2.1},
                        "jobs": {"status": "ok", "detail": None, "checked_seconds_ago": 2.1},
                        "cache": {"status": "ok", "detail": None, "checked_seconds_ago": None},
                    },
                }
            ]
        }
    )


class ReadyResponse(BaseModel):
    """Whether requests may be sent here."""

    ready: bool
    read_only: str | None = Field(None, description="Set if a disk is full and nothing is written; names the disk.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"ready": True}]})
