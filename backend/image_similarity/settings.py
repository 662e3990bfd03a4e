"""Every setting of the program: one class, one environment variable per field, validated at the start."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from image_similarity.concurrency.cores import usable_cores, usable_memory
from image_similarity.setting_types import (
    ApiKeys,
    CommaSeparated,
    FetchTargets,
    HostNames,
    KeywordLanguage,
    Networks,
    PromptTemplate,
    QdrantUrl,
    RedisUrl,
)


class Settings(BaseSettings):
    """Read from the environment and from a `.env` file; each field is the variable of the same name in capitals.

    An empty variable counts as unset, because compose files pass unset variables on as empty text.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    # The process
    app_name: str = Field("Image Similarity Engine", description="Title of the API and name in the logs.")
    api_host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    api_port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    drain_seconds: float = Field(
        0,
        ge=0,
        le=60,
        description="Seconds after SIGTERM during which requests are served but `/ready` is 503, so that a balancer "
        "notices.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe line to log.")
    log_format: Literal["json", "console"] = Field("json", description="`console` for people, `json` for machines.")

    # The model
    model_name: str = Field(
        "openai/clip-vit-base-patch32",
        description="Hub name or local folder of a CLIP or SigLIP checkpoint, or `mini` for the offline model.",
    )
    model_fallback: bool = Field(
        True,
        description="Start with `mini` if the weights of MODEL_NAME cannot be loaded and the collection is empty.",
    )
    device: Literal["auto", "cuda", "mps", "cpu"] = Field("auto", description="auto: CUDA, then MPS, then CPU.")
    precision: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        "auto", description="auto: bf16 if the hardware has it, fp16 on MPS, else fp32."
    )
    calibration_file: Path | None = Field(
        None,
        description="File that `evaluate --calibrate` wrote for the model; it gives hits a `confidence`. `mini` has "
        "its own.",
    )
    duplicate_similarity: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Cosine similarity from which on `collapse_duplicates` takes two images for the same picture.",
    )
    text_model_name: str | None = Field(
        None,
        description="Hub name or folder of a text tower aligned to the model, such as a multilingual one; "
        "default: the model's own.",
    )
    text_model_trusted: bool = Field(
        False, description="Assume that TEXT_MODEL_NAME fits MODEL_NAME, and check only its dimension."
    )
    text_preload: bool = Field(
        False, description="Load the model's own text tower at the start instead of at the first text."
    )
    prompt_template: PromptTemplate | None = Field(
        None, description="Sentence to put texts into before they are encoded, such as `a photo of {}`."
    )
    batch_size: int = Field(32, ge=1, le=1024, description="Most images that the model encodes at once.")
    max_queue: int = Field(256, ge=1, description="Images being decoded or waiting for the model; more get a 503.")

    # Descriptions and tags
    tagger: Literal["none", "imagenet", "caption"] = Field(
        "none",
        description="Fills in metadata that callers leave out: `imagenet` tags, offline; `caption` descriptions, by a "
        "model.",
    )
    tagger_threshold: float = Field(0.2, gt=0, le=1, description="Least confidence of a tag, with TAGGER=imagenet.")
    caption_model_name: str = Field(
        "Salesforce/blip-image-captioning-base",
        description="Hub name or local folder of an image-to-text checkpoint, for TAGGER=caption.",
    )

    # The disk
    data_dir: Path = Field(Path("data"), description="Folder of the embedded store and of the images.")
    durability: Literal["power", "process"] = Field(
        "power",
        description="`power`: acknowledged writes survive a power cut. `process`: they survive only the end of the "
        "process, and writes do not wait for the disk of DATA_DIR.",
    )
    min_free_bytes: int | None = Field(
        None,
        ge=0,
        description="Bytes to keep free on the disks of DATA_DIR and of uploads. With less, writes get a 507; searches "
        "and deletions go on. 0: no limit.",
    )

    # Vectors
    qdrant_collection_name: str = Field(
        "image_features", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Name of the collection."
    )
    qdrant_url: QdrantUrl | None = Field(
        None,
        description="Qdrant server to use instead of the embedded store: `http://host:6333` or `https://…`; "
        "several nodes of one cluster, separated by commas, or a DNS name with one address per node.",
    )
    qdrant_host: str | None = Field(None, description="Host of the Qdrant server, if QDRANT_URL is not set.")
    qdrant_port: int = Field(6333, ge=1, le=65535, description="REST port of the server at QDRANT_HOST.")
    qdrant_grpc_port: int = Field(6334, ge=1, le=65535, description="gRPC port of the Qdrant server.")
    qdrant_prefer_grpc: bool = Field(True, description="Use gRPC with the Qdrant server; false: REST.")
    qdrant_api_key: SecretStr | None = Field(None, description="API key of the Qdrant server.")
    qdrant_timeout: float = Field(
        5,
        gt=0,
        description="Seconds that Qdrant may take for a read, and that one node may take for a write before another is "
        "tried, at most twice; then a 503.",
    )
    qdrant_settle_seconds: float = Field(
        60, ge=0, description="Seconds to wait for the shards of a new collection, or of a node that came back."
    )
    qdrant_shard_number: int = Field(3, ge=1, description="Shards of a new collection on the Qdrant server.")
    qdrant_replication_factor: int = Field(1, ge=1, description="Copies of each shard of a new collection.")
    qdrant_expected_peers: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Nodes that the Qdrant cluster must have before the collection is created, because its shards are "
        "placed on the existing nodes; waits up to QDRANT_SETTLE_SECONDS.",
    )
    qdrant_write_consistency_factor: int | None = Field(
        None,
        ge=1,
        description="Copies, out of the configured ones, that must accept a write. Default 1: a write goes to all "
        "living copies, and a copy that fails is dropped. With more, a dead node can make writes fail.",
    )
    qdrant_hnsw_m: int = Field(16, ge=4, le=128, description="Edges per vector in a new collection's search graph.")
    qdrant_hnsw_ef_construct: int = Field(
        100, ge=4, description="Candidates kept while the search graph of a new collection is built."
    )
    qdrant_hnsw_ef: int = Field(128, ge=1, description="Candidates kept while the search graph is searched.")
    qdrant_quantization: Literal["int8", "none"] = Field(
        "int8", description="int8: search a new collection on the server in a copy of a quarter of the size."
    )
    qdrant_rescore: bool = Field(True, description="Score the best of a quantized search with their full vectors.")
    qdrant_oversampling: float = Field(2, ge=1, description="Candidates rescored, as a multiple of `top_k`.")
    keyword_language: KeywordLanguage = Field(
        "english",
        description="Language of keyword search, for word forms and stop words: `english`, `german`, …, `none`.",
    )

    # Image bytes
    storage_url: str | None = Field(
        None,
        description="Storage of image bytes: `file:///path` or `s3://bucket/prefix`; default DATA_DIR/images.",
    )
    store_originals: bool = Field(True, description="false keeps thumbnails only.")
    undo_seconds: float = Field(
        30,
        ge=0,
        le=86_400,
        description="Seconds that a deleted image can be restored, unless the request says otherwise; 0: never.",
    )

    # Cache
    cache_ttl: float = Field(3600, gt=0, description="Seconds that a cached embedding or result is kept.")
    cache_max_entries: int = Field(50_000, ge=0, description="Most entries of the in-process cache; 0 turns it off.")
    cache_max_bytes: int = Field(128 * 2**20, ge=0, description="Most bytes of the in-process cache.")
    redis_host: str = Field("", description="Redis that replicas share as their second cache; empty: none.")
    redis_port: int = Field(6379, ge=1, le=65535, description="Port of REDIS_HOST.")
    redis_password: SecretStr | None = Field(None, description="Password for Redis.")
    redis_url: RedisUrl | None = Field(
        None,
        description="Instead of REDIS_HOST and REDIS_PORT: `redis://…`, `rediss://…` (TLS) or `unix://…`.",
    )
    redis_timeout: float = Field(
        0.05, gt=0, le=10, description="Seconds that a search waits for an answer of Redis before it goes on without."
    )
    redis_prefix: str = Field(
        "image-similarity",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="Prefix of every key in Redis: the same for all replicas, another one for each deployment that "
        "shares the Redis.",
    )
    cache_warm_top: int = Field(
        1000, ge=0, le=10_000, description="Embeddings, the most used first, to load from Redis when a process starts."
    )

    # Limits
    max_body_bytes: int = Field(20 * 2**20, ge=1, description="Largest request body, in bytes; more is a 413.")
    max_bytes_in_flight: int = Field(
        default_factory=lambda: max(64 * 2**20, min(512 * 2**20, usable_memory() // 8)),
        ge=2**20,
        description="Most bytes that the request bodies and answers of a process may hold together; beyond it, "
        "requests get a 503.",
    )
    max_pixels: int = Field(80_000_000, ge=1, description="Largest image, in pixels (width x height); more is a 413.")
    decode_isolation: Literal["process", "thread"] = Field(
        default_factory=lambda: "process" if sys.platform == "linux" else "thread",
        description="process (Linux): decode in separate processes, which have no secrets and can be killed; thread: "
        "in the server.",
    )
    decode_timeout: float = Field(15, gt=0, description="Seconds that decoding one image may take.")
    decode_threads: int = Field(
        default_factory=lambda: max(2, usable_cores()), ge=1, description="Images to decode at a time."
    )
    decode_max_bytes: int = Field(
        1536 * 2**20,
        ge=64 * 2**20,
        description="Most memory, in bytes, for the decoding of all large images together.",
    )

    # Images by URL
    allow_url_fetch: Literal["auto"] | bool = Field(
        "auto",
        description="Whether `image_url` is fetched; auto: yes with the embedded store, no with a Qdrant server.",
    )
    url_fetch_allow: FetchTargets = Field(
        default_factory=list,
        description="Comma-separated networks and hosts that `image_url` may lead to although they are not public.",
    )
    url_fetch_timeout: float = Field(10, gt=0, le=120, description="Seconds that fetching one `image_url` may take.")

    # Feedback
    feedback_retention: float = Field(
        365 * 86_400, ge=0, description="Seconds that users' verdicts on results are kept; 0: for ever."
    )

    # Bulk indexing
    broker_url: SecretStr | None = Field(
        None,
        description="RabbitMQ for bulk jobs, such as `amqp://user:password@host:5672/`; workers then do the indexing. "
        "Unset: the server does it.",
    )
    max_batch_bytes: int = Field(
        2**30, ge=1, description="Largest upload of many images, in bytes, also when unpacked; more is a 413."
    )
    max_batch_images: int = Field(10_000, ge=1, description="Most images in one bulk job.")
    job_retention: float = Field(7 * 86_400, gt=0, description="Seconds that the report of a bulk job is kept.")
    worker_concurrency: int = Field(2, ge=1, le=64, description="Chunks of BATCH_SIZE that a worker runs at a time.")
    worker_port: int | None = Field(
        None, ge=0, le=65535, description="Port of a worker's `/api/v1/ready`, `/health` and `/metrics`; unset: none."
    )

    # Traces
    otel_exporter_otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://\S+$",
        description="OpenTelemetry collector for traces, `http://host:4318`; needs the extra `tracing`.",
    )

    # Access
    api_keys: ApiKeys = Field(
        default_factory=list,
        description="Comma-separated keys; if set, `/api/v1` requires one as `X-API-Key` or `Authorization: Bearer`.",
    )
    allow_anonymous: bool = Field(
        False, description="Serve on an address that others reach, although there are no API_KEYS: anyone may call."
    )
    allowed_hosts: HostNames = Field(
        default_factory=list,
        description="Comma-separated host names under which clients reach the server, `*.example.com`, or `*`; "
        "default: any with API_KEYS, else this machine's own and API_HOST.",
    )
    trusted_proxies: Networks = Field(
        default_factory=lambda: ["127.0.0.1", "::1"],
        description="Comma-separated addresses and networks of proxies whose `X-Forwarded-For` names the client.",
    )
    cors_origins: CommaSeparated = Field(
        default_factory=list,
        description="Comma-separated origins of web pages on other hosts that may call the API.",
    )
