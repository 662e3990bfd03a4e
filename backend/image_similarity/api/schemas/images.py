"""The JSON schemas of images, each with an example; requests are checked against them, and OpenAPI shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from image_similarity.domain.records import ImageRecord

EXAMPLE_IMAGE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAIklEQVR42mNkiDrBAAP/jSzgbCYGHIB0CRZkc0VFbGhhBwCbQwRr"
    "IqEygAAAAABJRU5ErkJggg=="
)
"""A complete picture of 8 x 8 pixels, so that every example of a request can be sent as it is."""

EXAMPLE_SHA256 = "5c2ad8c5d4a0cd1f4f9d1a2a8e6b6d1c7f3e0b9a8d7c6b5a4f3e2d1c0b9a8f7e"

EXAMPLE_METADATA: dict[str, JsonValue] = {"species": "cat", "year": 2024}

ImageData = Annotated[str, Field(min_length=1, description="The image as base64, or a `data:` URL.")]


MAX_FIELDS = 64
"""Most fields of one object; no schema has half as many."""


class Schema(BaseModel):
    """A schema of requests: other fields are refused, and types are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, given: object) -> object:
        # Checked first, because pydantic would report every unknown field.
        if isinstance(given, dict) and len(given) > MAX_FIELDS:
            raise ValueError(f"Object should have at most {MAX_FIELDS} fields, not {len(given)}")
        return given


def at_most(items: int) -> BeforeValidator:
    """Refuse a longer list before its items are validated; `Field(max_length=…)` refuses it only afterwards."""

    def validate(given: object) -> object:
        if isinstance(given, Sequence) and not isinstance(given, str) and len(given) > items:
            raise PydanticKnownError(
                "too_long", {"field_type": "List", "max_length": items, "actual_length": len(given)}
            )
        return given

    return BeforeValidator(validate)


def single_error(said: str) -> WrapValidator:
    """Report one message for a union, instead of one error per alternative."""

    def validate(value: object, check: ValidatorFunctionWrapHandler) -> object:
        try:
            return check(value)
        except ValidationError as error:
            raise PydanticCustomError("no_alternative", said) from error

    return WrapValidator(validate)


def _is_object(value: object, _: ValidatorFunctionWrapHandler) -> object:
    # Parsed JSON holds only JSON values; to check each of them would take longer than the rest of the request.
    if not isinstance(value, dict):
        raise PydanticKnownError("dict_type")
    return value


JsonObject = Annotated[dict[str, JsonValue], WrapValidator(_is_object)]


class IndexParameters(Schema):
    """The fields of an image to add, except for its bytes."""

    image_id: str | None = Field(
        None, min_length=1, max_length=512, description="Your own name for the image; default: a UUIDv7."
    )
    metadata: JsonObject = Field(
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


class PatchRequest(Schema):
    """A change of an image."""

    metadata: JsonObject = Field(
        description="A JSON Merge Patch (RFC 7396): null removes a key, objects are merged, all else replaces."
    )

    model_config = ConfigDict(json_schema_extra={"examples": [{"metadata": {"year": 2025, "draft": None}}]})


class IndexResponse(BaseModel):
    """The result of adding an image."""

    image_id: str
    success: bool
    message: str = Field(description="indexed, replaced or unchanged.")
    processing_time_ms: float
    tagging_job: str | None = Field(description="The job that writes the description; null if there is none.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "image_id": "cats/tom.jpg",
                    "success": True,
                    "message": "indexed",
                    "processing_time_ms": 21.7,
                    "tagging_job": None,
                }
            ]
        }
    )


class DeleteResponse(BaseModel):
    """The image is deleted."""

    image_id: str
    success: bool
    message: str
    restorable_until: datetime | None = Field(
        description="Until then `POST /images/{image_id}/restore` restores it; null if it cannot be restored."
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


class TaggingDocument(BaseModel):
    """The metadata that a tagger filled in because the caller left it out."""

    tagger: str = Field(description="imagenet or caption: the tagger that processed the image, even without a result.")
    filled: list[str] = Field(description="The metadata fields that the tagger wrote: tags, description, or both.")
    confidence: dict[str, float] = Field(description="Probability by tag.")


class ImageDocument(BaseModel):
    """An image: size, format, time of indexing, metadata."""

    image_id: str
    sha256: str = Field(description="Of the original bytes.")
    width: int
    height: int
    format: str
    indexed_at: datetime
    metadata: dict[str, JsonValue]
    tagging: TaggingDocument | None = Field(description="null if no tagger has processed the image.")

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
                    "metadata": {**EXAMPLE_METADATA, "tags": ["tabby"]},
                    "tagging": {"tagger": "imagenet", "filled": ["tags"], "confidence": {"tabby": 0.81}},
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
            tagging=None if record.tagging is None else TaggingDocument(**asdict(record.tagging)),
        )


def image_fields(record: ImageRecord, metadata: bytes) -> dict[str, Any]:
    """Return the JSON of an `ImageDocument`; `metadata` is JSON already and is inserted unchecked."""
    return {
        "image_id": record.image_id,
        "sha256": record.sha256,
        "width": record.width,
        "height": record.height,
        "format": record.format,
        "indexed_at": record.indexed_at,
        "metadata": orjson.Fragment(metadata),
        "tagging": None if record.tagging is None else asdict(record.tagging),
    }


class ImagePage(BaseModel):
    """A page of the collection, newest first."""

    images: list[ImageDocument]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"images": [], "next_cursor": None}]})


class Problem(BaseModel):
    """An error, as RFC 9457 defines it."""

    type: str = Field(description="A URI of this kind of problem: about:blank#code.")
    title: str
    status: int
    detail: str = Field(description="What happened and what to change.")
    code: str = Field(description="Stable, for programs.")
    request_id: str | None = None
    errors: list[dict[str, Any]] | None = Field(
        None, description="The first 20 errors, field by field, if the request is invalid."
    )
