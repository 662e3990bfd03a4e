"""The JSON of the API, with an example each: what OpenAPI shows and what requests are checked against."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from image_similarity import __version__
from image_similarity.domain import ImageRecord
from image_similarity.engine import EngineStats
from image_similarity.jobs.base import QueueInfo

EXAMPLE_IMAGE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAIklEQVR42mNkiDrBAAP/jSzgbCYGHIB0CRZkc0VFbGhhBwCbQwRr"
    "IqEygAAAAABJRU5ErkJggg=="
)
"""A whole picture, 8 x 8 pixels, so that every example of a request can be sent as it stands."""

EXAMPLE_SHA256 = "5c2ad8c5d4a0cd1f4f9d1a2a8e6b6d1c7f3e0b9a8d7c6b5a4f3e2d1c0b9a8f7e"

EXAMPLE_METADATA: dict[str, JsonValue] = {"species": "cat", "year": 2024}

MAX_TOP_K = 1000

ImageData = Annotated[str, Field(min_length=1, description="The image as base64, or a `data:` URL.")]
TopK = Annotated[int, Field(ge=1, le=MAX_TOP_K, description="Most results to return.")]
Threshold = Annotated[float, Field(ge=-1, le=1, description="Lowest cosine similarity to return.")]
Filter = Annotated[
    dict[str, JsonValue],
    Field(description="Condition on metadata: equality, lists, ranges, and/or/not; see docs/API.md."),
]


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SearchParameters(_Schema):
    """What a search asks for, whatever its query is."""

    top_k: TopK = 10
    threshold: Threshold | None = None
    filter: Filter | None = None
    with_metadata: bool = Field(True, description="false leaves metadata out of the results.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"top_k": 5, "filter": {"species": "cat"}}]})


class SearchRequest(SearchParameters):
    """A search with an image."""

    image_data: ImageData

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"image_data": EXAMPLE_IMAGE, "top_k": 5, "threshold": 0.2}]}
    )


class IndexParameters(_Schema):
    """What is said of an image to add, beside its bytes."""

    image_id: str | None = Field(
        None, min_length=1, max_length=512, description="Your own name for the image; a UUIDv7 where absent."
    )
    metadata: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Any JSON object up to 64 KiB; returned with results and filtered on.",
    )


class IndexRequest(IndexParameters):
    """An image to add."""

    image_data: ImageData

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"image_data": EXAMPLE_IMAGE, "image_id": "cats/tom.jpg", "metadata": EXAMPLE_METADATA}]
        }
    )


class PatchRequest(_Schema):
    """What to change of an image."""

    metadata: dict[str, JsonValue] = Field(
        description="A JSON Merge Patch (RFC 7396): null removes a key, objects are merged, all else replaces."
    )

    model_config = ConfigDict(json_schema_extra={"examples": [{"metadata": {"year": 2025, "draft": None}}]})


class SearchHit(BaseModel):
    """One neighbour."""

    image_id: str
    score: float = Field(description="Cosine similarity, -1 to 1; 1 is the same.")
    sha256: str = Field(description="Of the bytes; with it as `v`, file and thumbnail are kept by browsers for ever.")
    width: int = Field(description="Pixels, upright; for a page to make room before the thumbnail is there.")
    height: int
    metadata: dict[str, JsonValue] | None = Field(None, description="null where with_metadata is false.")


class SearchResponse(BaseModel):
    """Neighbours, best first."""

    query_id: str = Field(description="UUIDv7 of this search.")
    results: list[SearchHit]
    total_found: int = Field(description="How many results are in this answer.")
    search_time_ms: float
    cached: bool = Field(description="true where the answer was computed before and is still valid.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query_id": "019a9d5e-4c1b-7d3a-9f5e-2f6f0a1b2c3d",
                    "results": [
                        {
                            "image_id": "cats/tom.jpg",
                            "score": 0.9312,
                            "sha256": EXAMPLE_SHA256,
                            "width": 640,
                            "height": 480,
                            "metadata": EXAMPLE_METADATA,
                        }
                    ],
                    "total_found": 1,
                    "search_time_ms": 14.2,
                    "cached": False,
                }
            ]
        }
    )


class IndexResponse(BaseModel):
    """What became of the image."""

    image_id: str
    success: bool
    message: str = Field(description="indexed, replaced or unchanged.")
    processing_time_ms: float

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "image_id": "cats/tom.jpg",
                    "success": True,
                    "message": "indexed",
                    "processing_time_ms": 21.7,
                }
            ]
        }
    )


class DeleteResponse(BaseModel):
    """The image is gone."""

    image_id: str
    success: bool
    message: str
    restorable_until: datetime | None = Field(
        description="Until then `POST /images/{image_id}/restore` brings it back; null where it cannot."
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "image_id": "cats/tom.jpg",
                    "success": True,
                    "message": "deleted",
                    "restorable_until": "2026-01-02T03:04:35.678901Z",
                }
            ]
        }
    )


class ImageDocument(BaseModel):
    """What is known of an image."""

    image_id: str
    sha256: str = Field(description="Of the bytes as they were sent.")
    width: int
    height: int
    format: str
    indexed_at: datetime
    metadata: dict[str, JsonValue]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "image_id": "cats/tom.jpg",
                    "sha256": EXAMPLE_SHA256,
                    "width": 640,
                    "height": 480,
                    "format": "JPEG",
                    "indexed_at": "2026-01-02T03:04:05.678901Z",
                    "metadata": EXAMPLE_METADATA,
                }
            ]
        }
    )

    @classmethod
    def of(cls, record: ImageRecord) -> ImageDocument:
        """Return the document of a record."""
        return cls(
            image_id=record.image_id,
            sha256=record.sha256,
            width=record.width,
            height=record.height,
            format=record.format,
            indexed_at=record.indexed_at,
            metadata=record.metadata,
        )


class ImagePage(BaseModel):
    """A page of the collection, newest first."""

    images: list[ImageDocument]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"images": [], "next_cursor": None}]})


class ModelStatus(BaseModel):
    """The running model."""

    name: str
    dimension: int
    towers: list[str] = Field(description="What it can encode: image, text.")
    device: str
    precision: str
    fallback_reason: str | None = Field(
        description="Why the offline model stands in for the one that was asked for; null where it does not."
    )


class CollectionStatus(BaseModel):
    """The collection."""

    name: str
    images: int
    model: str
    dimension: int
    indexed_vectors: int = Field(description="Covered by an HNSW graph; the others are searched exactly.")
    field_indexes: list[str]


class CacheTierStatus(BaseModel):
    """One tier of the cache."""

    tier: str
    entries: int | None = Field(description="null for a tier that replicas share.")
    bytes: int | None
    hits: dict[str, int]
    misses: dict[str, int]
    breaker: str | None = Field(
        description="closed; open or half_open while the tier does not answer; null where it is part of the process."
    )


class QueueStatus(BaseModel):
    """The queue before the model."""

    depth: int
    limit: int


class JobQueueStatus(BaseModel):
    """What carries the chunks of bulk jobs."""

    kind: str = Field(description="in_process or rabbitmq.")
    waiting: int = Field(description="Chunks that nobody works on yet.")
    dead_letters: int = Field(description="Chunks that were given up.")
    workers: int | None = Field(description="Who takes chunks; null where it is not known.")
    problem: str | None = Field(description="Why it does not work at the moment; null where it does.")


class StatsResponse(BaseModel):
    """The state of the service in numbers."""

    version: str
    uptime_seconds: float
    model: ModelStatus
    collection: CollectionStatus
    queue: QueueStatus
    cache: list[CacheTierStatus]
    jobs: JobQueueStatus | None = Field(description="null where the command line has the data folder open itself.")
    recommendations: list[str] = Field(description="What an operator should do next; usually empty.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "version": "0.1.0",
                    "uptime_seconds": 86.4,
                    "model": {
                        "name": "openai/clip-vit-base-patch32",
                        "dimension": 512,
                        "towers": ["image"],
                        "device": "cpu",
                        "precision": "bf16",
                        "fallback_reason": None,
                    },
                    "collection": {
                        "name": "image_features",
                        "images": 1200,
                        "model": "openai/clip-vit-base-patch32",
                        "dimension": 512,
                        "indexed_vectors": 0,
                        "field_indexes": ["species"],
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
        """Return the document of an engine's figures, and of the queue before its bulk jobs."""
        model, collection = stats.model, stats.collection
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
            collection=CollectionStatus(**{**asdict(collection), "field_indexes": list(collection.field_indexes)}),
            queue=QueueStatus(depth=stats.queue_depth, limit=queue_limit),
            cache=[CacheTierStatus(**asdict(tier)) for tier in stats.cache],
            jobs=JobQueueStatus(**asdict(jobs)) if jobs is not None else None,
            recommendations=stats.recommendations,
        )


class WarmResponse(BaseModel):
    """What became of warming the cache."""

    loaded: int = Field(description="Embeddings that were brought near.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"loaded": 250}]})


class ServiceHealth(BaseModel):
    """One part of the service."""

    status: str = Field(description="ok or unavailable.")
    detail: str | None = None


class HealthResponse(BaseModel):
    """Whether the process and its parts are well."""

    status: str = Field(description="ok, or degraded where a part is not available.")
    timestamp: datetime
    version: str
    services: dict[str, ServiceHealth]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "ok",
                    "timestamp": "2026-01-02T03:04:05Z",
                    "version": "0.1.0",
                    "services": {
                        "model": {"status": "ok", "detail": "openai/clip-vit-base-patch32 on cpu in bf16"},
                        "vector_store": {"status": "ok", "detail": None},
                        "storage": {"status": "ok", "detail": None},
                        "cache": {"status": "ok", "detail": None},
                        "jobs": {"status": "ok", "detail": None},
                    },
                }
            ]
        }
    )


class ReadyResponse(BaseModel):
    """Whether requests may be sent here."""

    ready: bool

    model_config = ConfigDict(json_schema_extra={"examples": [{"ready": True}]})


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field(description="A URI of this kind of problem: about:blank#code.")
    title: str
    status: int
    detail: str = Field(description="What happened and what to change.")
    code: str = Field(description="Stable, for programs.")
    request_id: str | None = None
    errors: list[dict[str, Any]] | None = Field(None, description="Field by field, where the request is invalid.")
