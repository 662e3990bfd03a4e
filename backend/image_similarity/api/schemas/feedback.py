"""The JSON schemas of feedback, each with an example."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from image_similarity.api.schemas.images import Schema, at_most
from image_similarity.api.schemas.search import QueryId, QueryText
from image_similarity.domain.image_ids import MAX_IMAGE_ID
from image_similarity.domain.queries import MAX_PARTS, MAX_WEIGHT
from image_similarity.engine.feedback.events import FeedbackEvent, Verdict, to_json

_EXAMPLE_QUERY: dict[str, JsonValue] = {"text": "two dogs on a beach"}
_EXAMPLE_QUERY_ID = "019a9d5e-4c1b-7d3a-9f5e-2f6f0a1b2c3d"
_EXAMPLE_EVENT: dict[str, JsonValue] = {
    "event_id": "019a9d5e-7a10-7c55-8d21-0f3b5c7d9e11",
    "at": "2026-01-02T03:04:05.678Z",
    "model": "openai/clip-vit-base-patch32",
    "query_id": _EXAMPLE_QUERY_ID,
    "query": _EXAMPLE_QUERY,
    "image_id": "dogs/rex.jpg",
    "verdict": "positive",
}

FeedbackId = Annotated[UUID, Field(strict=False, description="`query_id` of the search that found the image.")]


class AskedPart(Schema):
    """One of `image_id` and `text`, and its weight."""

    image_id: QueryId | None = None
    text: QueryText | None = None
    weight: float = Field(1.0, ge=-MAX_WEIGHT, le=MAX_WEIGHT)

    @model_validator(mode="after")
    def _one(self) -> AskedPart:
        if (self.image_id is None) == (self.text is None):
            raise ValueError("it is one of image_id and text")
        return self


class Asked(Schema):
    """The query, in the form of `POST /search`, without the images that were sent with it."""

    image_id: QueryId | None = None
    text: QueryText | None = None
    query: Annotated[Sequence[AskedPart], at_most(MAX_PARTS)] = Field(default=(), max_length=MAX_PARTS)

    @model_validator(mode="after")
    def _something(self) -> Asked:
        if self.image_id is None and self.text is None and not self.query:
            raise ValueError("it names at least one of image_id, text and query")
        return self


class FeedbackRequest(Schema):
    """A verdict on one image, for one query."""

    query_id: FeedbackId | None = None
    query: Asked | None = Field(None, description="The query; the offline report can run it again.")
    image_id: str = Field(min_length=1, max_length=MAX_IMAGE_ID, description="The image that the verdict is about.")
    verdict: Verdict = Field(strict=False, description="`clear` withdraws the previous verdict.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query_id": _EXAMPLE_QUERY_ID,
                    "query": _EXAMPLE_QUERY,
                    "image_id": "dogs/rex.jpg",
                    "verdict": "positive",
                }
            ]
        }
    )

    @model_validator(mode="after")
    def _some_query(self) -> FeedbackRequest:
        if self.query_id is None and self.query is None:
            raise ValueError("it names the query, by query_id or query or both")
        return self


class FeedbackDocument(BaseModel):
    """A stored verdict."""

    event_id: str
    at: datetime
    model: str = Field(description="The model that the server used.")
    query_id: str | None
    query: Asked | None
    image_id: str
    verdict: Verdict

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_EVENT]})

    @classmethod
    def of(cls, event: FeedbackEvent) -> FeedbackDocument:
        """Return the document of an event."""
        return cls.model_validate(to_json(event))


class FeedbackPage(BaseModel):
    """Some of the verdicts, oldest first."""

    events: list[FeedbackDocument]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"events": [_EXAMPLE_EVENT], "next_cursor": None}]})


class FeedbackDeleted(BaseModel):
    """All verdicts are gone."""

    deleted: int = Field(description="How many there were.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"deleted": 12}]})
