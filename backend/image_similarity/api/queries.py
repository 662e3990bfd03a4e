"""The body of a search, into a query and its options."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from image_similarity.api.body import decode_image_data, read_fields
from image_similarity.api.search_schemas import QueryFields, QueryPartFields, SearchParameters
from image_similarity.domain import InvalidRequest
from image_similarity.filters import parse_filter
from image_similarity.queries import (
    ImageBytes,
    IndexedImage,
    Query,
    QueryPart,
    SearchOptions,
    Source,
    Text,
)

_SOURCES = "image_data, image_id, text"


async def read_query(request: Request) -> tuple[Query, SearchOptions]:
    """Read a search with any mixture of images, ids and texts.

    Raises ProblemError (400, 415), InvalidImageData, InvalidFilter, InvalidRequest, BodyTooLarge, and pydantic's
    ValidationError.
    """
    image, fields = await read_fields(request, max_fields=len(QueryFields.model_fields))
    images = await _take_images(fields.get("query"))
    checked = QueryFields.model_validate(fields)
    parts = [QueryPart(source) for source in _sources(image, checked.image_id, checked.text)]
    for number, part in enumerate(checked.query):
        parts.append(_read_part(part, images.get(number), number))
    if not parts:
        raise InvalidRequest(f"There is nothing to search for: send one of {_SOURCES}, or several as query.")
    return Query(tuple(parts)), search_options(checked)


def search_options(parameters: SearchParameters) -> SearchOptions:
    """Return what the parameters ask for. Raises InvalidFilter."""
    return SearchOptions(
        top_k=parameters.top_k,
        threshold=parameters.threshold,
        filter=parse_filter(parameters.filter) if parameters.filter is not None else None,
        with_metadata=parameters.with_metadata,
    )


async def _take_images(parts: Any) -> dict[int, bytes]:
    """Take the images out of a query's parts, for the same reasons as the one of the body, and return them by place."""
    found = {}
    for number, part in enumerate(parts if isinstance(parts, list) else ()):
        if isinstance(part, dict) and part.get("image_data") is not None:
            found[number] = await decode_image_data(part.pop("image_data"))
    return found


def _read_part(part: QueryPartFields, image: bytes | None, number: int) -> QueryPart:
    sources = _sources(image, part.image_id, part.text)
    if len(sources) != 1:
        raise InvalidRequest(f"query.{number} names {len(sources)} of {_SOURCES}; a part is exactly one of them.")
    return QueryPart(sources[0], part.weight)


def _sources(image: bytes | None, image_id: str | None, text: str | None) -> list[Source]:
    found: list[Source] = []
    if image is not None:
        found.append(ImageBytes(image))
    if image_id is not None:
        found.append(IndexedImage(image_id))
    if text is not None:
        found.append(Text(text))
    return found
