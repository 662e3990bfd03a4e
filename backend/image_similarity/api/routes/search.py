"""Search by images, by indexed images, by words, and by any mixture of them."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import orjson
from fastapi import APIRouter, Request

from image_similarity.api.dependencies import EngineDep, ImageId
from image_similarity.api.disconnect import cancel_on_disconnect
from image_similarity.api.errors import responses
from image_similarity.api.in_flight import share_of
from image_similarity.api.openapi import image_body, json_body
from image_similarity.api.requests.body import read_parameters
from image_similarity.api.requests.search import read_query, search_options
from image_similarity.api.responses import JsonResponse
from image_similarity.api.routes import PREFIX
from image_similarity.api.schemas.search import (
    KeywordSearchRequest,
    QueryFields,
    SearchParameters,
    SearchRequest,
    TextSearchRequest,
)
from image_similarity.api.schemas.search_results import SearchHit, SearchResponse
from image_similarity.domain.metadata import MAX_METADATA_BYTES
from image_similarity.domain.queries import SearchOptions, SearchResult
from image_similarity.domain.records import Match
from image_similarity.engine.answer_size import MAX_ANSWER_BYTES

router = APIRouter(prefix=PREFIX, tags=["search"])

_HIT_FIELDS = tuple(SearchHit.model_fields)


@router.post(
    "/search",
    summary="Find images that look like this one, or like several things at once",
    response_model=SearchResponse,
    responses=responses(400, 403, 404, 413, 415, 422, 503),
    openapi_extra=image_body(SearchRequest, QueryFields, image_required=False),
)
async def search(request: Request, engine: EngineDep) -> JsonResponse:
    """Send an image as base64 in JSON or as a file in multipart/form-data, or send a URL, the id of an image, or words.

    Several of them, each with a weight, make up one query: their embeddings are added. Examples that results should be
    like or unlike refine it.
    """
    query, options = await read_query(request)
    _make_room(request, options)
    found = engine.search(query, options)
    # Fetching a URL may take seconds; stop it if the client disconnects.
    return _answer(await (cancel_on_disconnect(request, found) if query.has_urls else found))


@router.post(
    "/search/text",
    summary="Find images that a text describes",
    response_model=SearchResponse,
    responses=responses(400, 413, 415, 422, 503),
    openapi_extra=json_body(TextSearchRequest),
)
async def search_text(request: Request, engine: EngineDep) -> JsonResponse:
    """Needs a model with a text tower; `truncated` is true if the text was longer than the model reads."""
    parameters = await read_parameters(TextSearchRequest, request)
    options = search_options(parameters)
    _make_room(request, options)
    return _answer(await engine.search_by_text(parameters.text, options, parameters.prompt_template))


@router.post(
    "/search/keywords",
    summary="Find images by the words of their descriptions and tags",
    response_model=SearchResponse,
    responses=responses(400, 413, 415, 422, 503),
    openapi_extra=json_body(KeywordSearchRequest),
)
async def search_keywords(request: Request, engine: EngineDep) -> JsonResponse:
    """Ranked by BM25. Other forms of a word are found too, and words that begin with the last word."""
    parameters = await read_parameters(KeywordSearchRequest, request)
    options = search_options(parameters)
    _make_room(request, options)
    return _answer(await engine.search_by_keywords(parameters.text, options))


@router.post(
    "/images/{image_id:path}/similar",
    summary="Find images that look like an indexed one",
    response_model=SearchResponse,
    responses=responses(400, 404, 413, 415, 422, 503),
    openapi_extra=json_body(SearchParameters),
)
async def similar(image_id: ImageId, request: Request, engine: EngineDep) -> JsonResponse:
    """Nothing is uploaded; the image itself is left out of the results."""
    parameters = await read_parameters(SearchParameters, request)
    options = search_options(parameters)
    _make_room(request, options)
    return _answer(await engine.search_by_id(image_id, options))


def _make_room(request: Request, options: SearchOptions) -> None:
    """Hold the largest possible size of the answer before the search. Raises TooMuchInFlight."""
    if options.with_metadata:
        share_of(request).will_answer(min(options.top_k * MAX_METADATA_BYTES, MAX_ANSWER_BYTES))


def _hit(hit: Match, text: bytes | None) -> dict[str, Any]:
    return {name: getattr(hit, name) for name in _HIT_FIELDS} | {
        "score": round(hit.score, 6),
        "confidence": None if hit.confidence is None else round(hit.confidence, 4),
        "metadata": None if text is None else orjson.Fragment(text),
    }


def _answer(result: SearchResult) -> JsonResponse:
    return JsonResponse(
        {
            "query_id": result.query_id,
            "results": [_hit(hit, text) for hit, text in zip(result.hits, result.texts, strict=True)],
            "total_found": len(result.hits),
            "search_time_ms": result.search_time_ms,
            "threshold": None if result.threshold is None else round(result.threshold, 6),
            "cached": result.cached,
            "truncated": result.truncated,
            "query_previews": {
                url: f"data:image/webp;base64,{b64encode(picture).decode()}" for url, picture in result.previews.items()
            },
        }
    )
