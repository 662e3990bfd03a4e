"""Every setting of the program: one class, one environment variable a field, validated at start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _split_commas(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CommaSeparated = Annotated[list[str], NoDecode, BeforeValidator(_split_commas)]
SecretList = Annotated[list[SecretStr], NoDecode, BeforeValidator(_split_commas)]


class Settings(BaseSettings):
    """Read from the environment and from a `.env` file; each field is the variable of the same name in capitals.

    An empty variable counts as none: compose files pass on what is not set as empty text.
    """

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    # The process
    app_name: str = Field("Image Similarity Engine", description="Title of the API and name in the logs.")
    api_host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    api_port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    drain_seconds: float = Field(
        0,
        ge=0,
        le=60,
        description="Seconds after SIGTERM that all is served but `/ready` is 503, for a balancer to notice.",
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
        description="Start with `mini` when the weights of MODEL_NAME cannot be had and the collection is empty.",
    )
    device: Literal["auto", "cuda", "mps", "cpu"] = Field("auto", description="auto: CUDA, then MPS, then CPU.")
    precision: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        "auto", description="auto: bf16 where the hardware has it, fp16 on MPS, else fp32."
    )
    batch_size: int = Field(32, ge=1, le=1024, description="Most images the model takes at once.")
    max_queue: int = Field(256, ge=1, description="Images being decoded or waiting for the model; more get a 503.")

    # Vectors, bytes, cache
    data_dir: Path = Field(Path("data"), description="Folder of the embedded store and of the images.")
    qdrant_collection_name: str = Field(
        "image_features", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Name of the collection."
    )
    storage_url: str | None = Field(
        None,
        description="Where image bytes live: `file:///path` or `s3://bucket/prefix`; default DATA_DIR/images.",
    )
    store_originals: bool = Field(True, description="false keeps thumbnails only.")
    cache_ttl: float = Field(3600, gt=0, description="Seconds that a cached embedding or result is kept.")
    cache_max_entries: int = Field(50_000, ge=0, description="Most entries of the in-process cache; 0 turns it off.")
    cache_max_bytes: int = Field(128 * 2**20, ge=0, description="Most bytes of the in-process cache.")

    # Limits
    max_body_bytes: int = Field(20 * 2**20, ge=1, description="Largest request body, in bytes; more is a 413.")
    max_pixels: int = Field(80_000_000, ge=1, description="Largest image, in pixels (width x height); more is a 413.")
    decode_timeout: float = Field(15, gt=0, description="Seconds that decoding one image may take.")
    decode_threads: int = Field(
        default_factory=lambda: max(2, os.cpu_count() or 2), ge=1, description="Threads that decode images."
    )

    # Who may call
    api_keys: SecretList = Field(
        default_factory=list,
        description="Comma-separated keys; when set, `/api/v1` wants one as `X-API-Key` or `Authorization: Bearer`.",
    )
    cors_origins: CommaSeparated = Field(
        default_factory=list,
        description="Comma-separated origins of web pages on other hosts that may call the API.",
    )
