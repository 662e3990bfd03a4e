"""Write a search as JSON for a server, and read its answer."""

from __future__ import annotations

from typing import Any

import pybase64

from image_similarity.domain.facets import Facet, Facets, FieldKind
from image_similarity.domain.queries import (
    ImageBytes,
    ImageUrl,
    IndexedImage,
    Query,
    SearchOptions,
    SearchResult,
    Source,
    Text,
)
from image_similarity.domain.records import Match


def search_body(query: Query, options: SearchOptions, raw_filter: dict[str, Any] | None) -> dict[str, Any]:
    """Return the body of `POST /search`; `raw_filter` is the JSON that `options.filter` was parsed from."""
    examples = bool(query.positive or query.negative)
    fields = {
        "query": [{**_source(part.source), "weight": part.weight} for part in query.parts],
        # Defaults are left out: the body is short, and holds only what the user gave.
        "positive": [_source(example) for example in query.positive] or None,
        "negative": [_source(example) for example in query.negative] or None,
        "strategy": query.strategy if examples else None,
        "mode": query.mode,
        "keywords": query.keywords,
        "prompt_template": _template(query),
        "top_k": options.top_k,
        "threshold": options.threshold,
        "filter": raw_filter,
        "with_metadata": options.with_metadata,
        "diversity": options.diversity or None,
        "collapse_duplicates": options.collapse_duplicates or None,
        "group_by": options.group_by,
        "group_size": options.group_size if options.group_by is not None else None,
        "group_step": options.group_step,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _template(query: Query) -> str | None:
    """Return the prompt template of the query's texts, which all have the same."""
    return next((part.source.template for part in query.parts if isinstance(part.source, Text)), None)


def read_result(answer: dict[str, Any]) -> SearchResult:
    """Return the result in a server's answer."""
    # Fields are read by name, so a newer server may send more of them.
    matches = tuple(
        Match(**{name: hit[name] for name in Match.__slots__} | {"duplicates": tuple(hit["duplicates"])})
        for hit in answer["results"]
    )
    return SearchResult(
        query_id=answer["query_id"],
        hits=matches,
        search_time_ms=answer["search_time_ms"],
        cached=answer["cached"],
        truncated=answer["truncated"],
        threshold=answer["threshold"],
    )


def facets_from_json(answer: dict[str, Any]) -> Facets:
    """Return the fields in a server's answer, without their values."""
    fields = tuple(
        Facet(each["field"], FieldKind(each["kind"]), each["images"], (), True, None, None, each["exact"])
        for each in answer["fields"]
    )
    return Facets(fields, answer["more_fields"], answer["images"], answer["sampled"], answer["exact"])


def _source(source: Source) -> dict[str, str]:
    match source:
        case ImageBytes(data):
            return {"image_data": pybase64.b64encode_as_string(data)}
        case ImageUrl(url):
            return {"image_url": url}
        case IndexedImage(image_id):
            return {"image_id": image_id}
        case Text(text):
            return {"text": text}
