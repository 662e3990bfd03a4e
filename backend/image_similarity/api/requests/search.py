"""Parse the body of a search into a query and its options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from fastapi import Request

from image_similarity.api.requests.body import decode_image_data, read_fields
from image_similarity.api.schemas.search import (
    ExampleFields,
    LooksFields,
    QueryFields,
    QueryPartFields,
    SearchParameters,
)
from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.filters import parse_filter
from image_similarity.domain.queries import (
    Example,
    ImageBytes,
    ImageUrl,
    IndexedImage,
    Mode,
    Query,
    QueryPart,
    SearchOptions,
    Source,
    Text,
)

S = TypeVar("S", Source, Example)

_SOURCES = "image_data, image_url, image_id, text"
_EXAMPLES = "image_data, image_url, image_id"

Images = dict[int, bytes]
"""The images of a list in the body, by their index."""


async def read_query(request: Request) -> tuple[Query, SearchOptions]:
    """Read a search with any mixture of images, URLs, ids, texts and examples.

    Raises ProblemError (400, 415), InvalidImageData, InvalidFilter, InvalidRequest, BodyTooLarge, and pydantic's
    ValidationError.
    """
    image, fields = await read_fields(request, max_fields=len(QueryFields.model_fields))
    images = {name: await _take_images(fields.get(name)) for name in ("query", "positive", "negative")}
    checked = (QueryFields if fields.get("mode") == Mode.KEYWORDS else LooksFields).model_validate(fields)
    parts = [QueryPart(source) for source in _sources(image, checked, checked.prompt_template)]
    for number, part in enumerate(checked.query):
        sources = _sources(images["query"].get(number), part, checked.prompt_template)
        parts.append(QueryPart(_only(sources, f"query.{number}", _SOURCES), part.weight))
    positive = _read_examples("positive", checked.positive, images["positive"])
    negative = _read_examples("negative", checked.negative, images["negative"])
    if not parts and not positive and not negative and checked.mode is not Mode.KEYWORDS:
        raise InvalidRequest(f"There is nothing to search for: send one of {_SOURCES}, or several as query.")
    query = Query(
        tuple(parts),
        positive,
        negative,
        checked.strategy,
        checked.mode,
        checked.keywords,
        previews=checked.query_previews,
    )
    return query, search_options(checked)


def search_options(parameters: SearchParameters) -> SearchOptions:
    """Return the search options of the parameters. Raises InvalidFilter."""
    return SearchOptions(
        top_k=parameters.top_k,
        threshold=parameters.threshold,
        filter=parse_filter(parameters.filter) if parameters.filter is not None else None,
        with_metadata=parameters.with_metadata,
        diversity=parameters.diversity,
        collapse_duplicates=parameters.collapse_duplicates,
        group_by=parameters.group_by,
        group_size=parameters.group_size,
        group_step=parameters.group_step,
    )


async def _take_images(parts: Any) -> Images:
    """Remove the images from a list before it is checked, as `read_fields` does with the image of the body."""
    found = {}
    for number, part in enumerate(parts if isinstance(parts, list) else ()):
        if isinstance(part, dict) and (image_data := part.pop("image_data", None)) is not None:
            found[number] = await decode_image_data(image_data)
    return found


def _read_examples(name: str, given: Sequence[str | ExampleFields], images: Images) -> tuple[Example, ...]:
    found: list[Example] = []
    for number, example in enumerate(given):
        fields = ExampleFields(image_id=example) if isinstance(example, str) else example
        found.append(_only(_images(images.get(number), fields), f"{name}.{number}", _EXAMPLES))
    return tuple(found)


def _only(sources: Sequence[S], place: str, names: str) -> S:
    if len(sources) != 1:
        raise InvalidRequest(f"{place} names {len(sources)} of {names}; it is exactly one of them.")
    return sources[0]


def _images(image: bytes | None, fields: ExampleFields | QueryPartFields | QueryFields) -> list[Example]:
    found: list[Example] = []
    if image is not None:
        found.append(ImageBytes(image))
    if fields.image_url is not None:
        found.append(ImageUrl(fields.image_url))
    if fields.image_id is not None:
        found.append(IndexedImage(fields.image_id))
    return found


def _sources(image: bytes | None, fields: QueryPartFields | QueryFields, template: str | None) -> list[Source]:
    found: list[Source] = [*_images(image, fields)]
    if fields.text is not None:
        found.append(Text(fields.text, template))
    return found
