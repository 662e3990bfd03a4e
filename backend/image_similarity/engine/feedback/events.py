"""A verdict on a result, and its JSON; it does not contain who gave the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.image_ids import check_image_id
from image_similarity.domain.queries import IndexedImage, Query, QueryPart, Text
from image_similarity.domain.uuids import time_of


class Verdict(StrEnum):
    """A user's opinion of a result."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    CLEAR = "clear"
    """Withdraws the previous verdict."""


@dataclass(frozen=True, slots=True)
class FeedbackEvent:
    """One verdict with its time. Of several verdicts on one image for one query, the last one counts."""

    event_id: str
    """A UUIDv7, which contains the time and gives the order."""
    model: str
    """The model that answered the query."""
    query_id: str | None
    """Of the answer, if the caller sent it."""
    query: Query | None
    """The query of indexed images and texts; None if it is unknown, or was an image that the caller sent."""
    image_id: str
    verdict: Verdict

    @property
    def at(self) -> datetime:
        """When it was received: UTC, with a resolution of milliseconds."""
        return time_of(self.event_id)

    def same_verdict(self, other: FeedbackEvent) -> bool:
        """Return whether both are the same verdict on the same image for the same query."""
        return (self.query_id, self.query, self.image_id, self.verdict) == (
            other.query_id,
            other.query,
            other.image_id,
            other.verdict,
        )


def to_json(event: FeedbackEvent) -> dict[str, Any]:
    """Return an event in the form in which it is stored, listed and exported."""
    return {
        "event_id": event.event_id,
        "at": event.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "model": event.model,
        "query_id": event.query_id,
        "query": None if event.query is None else asked(event.query),
        "image_id": event.image_id,
        "verdict": event.verdict,
    }


def from_json(document: dict[str, Any]) -> FeedbackEvent:
    """Read the output of `to_json`; unknown fields are ignored. Raises InvalidRequest if it is no event."""
    try:
        query = document["query"]
        event = FeedbackEvent(
            event_id=str(UUID(document["event_id"])),
            model=str(document["model"]),
            query_id=document["query_id"],
            query=None if query is None else query_from_json(query),
            image_id=check_image_id(document["image_id"]),
            verdict=Verdict(document["verdict"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidRequest(f"This is not a feedback event: {error}.") from error
    return event


def asked(query: Query) -> dict[str, Any]:
    """Return a query of indexed images and texts as JSON for `POST /search`; other sources raise InvalidRequest."""
    parts = [_part(part) for part in query.parts]
    if len(parts) == 1 and parts[0]["weight"] == 1:
        return {name: value for name, value in parts[0].items() if name != "weight"}
    return {"query": parts}


def query_from_json(fields: dict[str, Any]) -> Query:
    """Read the output of `asked`. Raises InvalidRequest, KeyError or TypeError if it is no such query."""
    return Query(tuple(_read_part(part) for part in fields.get("query") or [fields]))


def _part(part: QueryPart) -> dict[str, Any]:
    match part.source:
        case IndexedImage(image_id):
            return {"image_id": image_id, "weight": part.weight}
        case Text(text):
            return {"text": text, "weight": part.weight}
    raise InvalidRequest("Feedback can store queries of indexed images and texts, but no images that were sent along.")


def _read_part(part: dict[str, Any]) -> QueryPart:
    source = IndexedImage(part["image_id"]) if "image_id" in part else Text(part["text"])
    return QueryPart(source, float(part.get("weight", 1)))
