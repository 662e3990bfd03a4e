"""Search with an image, or with an indexed one."""

from __future__ import annotations

from fastapi import APIRouter, Request

from image_similarity.api.answers import JsonAnswer
from image_similarity.api.body import read_image_and, read_parameters
from image_similarity.api.dependencies import EngineDep, ImageId
from image_similarity.api.errors import responses
from image_similarity.api.openapi import image_body, json_body
from image_similarity.api.routes import PREFIX
from image_similarity.api.schemas import SearchParameters, SearchRequest, SearchResponse
from image_similarity.domain import SearchOptions, SearchResult
from image_similarity.filters import parse_filter

router = APIRouter(prefix=PREFIX, tags=["search"])


@router.post(
    "/search",
    summary="Find images that look like this one",
    response_model=SearchResponse,
    responses=responses(400, 413, 415, 422, 503),
    openapi_extra=image_body(SearchRequest, SearchParameters),
)
async def search(request: Request, engine: EngineDep) -> JsonAnswer:
    """Send the image as base64 in JSON, or as a file in multipart/form-data."""
    image, parameters = await read_image_and(SearchParameters, request)
    return _answer(await engine.search_by_image(image, _options(parameters)))


@router.post(
    "/images/{image_id:path}/similar",
    summary="Find images that look like an indexed one",
    response_model=SearchResponse,
    responses=responses(400, 404, 413, 415, 422, 503),
    openapi_extra=json_body(SearchParameters),
)
async def similar(image_id: ImageId, request: Request, engine: EngineDep) -> JsonAnswer:
    """Nothing is uploaded; the image itself is left out of the results."""
    parameters = await read_parameters(SearchParameters, request)
    return _answer(await engine.search_by_id(image_id, _options(parameters)))


def _options(parameters: SearchParameters) -> SearchOptions:
    return SearchOptions(
        top_k=parameters.top_k,
        threshold=parameters.threshold,
        filter=parse_filter(parameters.filter) if parameters.filter is not None else None,
        with_metadata=parameters.with_metadata,
    )


def _answer(result: SearchResult) -> JsonAnswer:
    return JsonAnswer(
        {
            "query_id": result.query_id,
            "results": [
                {
                    "image_id": match.image_id,
                    "score": round(match.score, 6),
                    "sha256": match.sha256,
                    "width": match.width,
                    "height": match.height,
                    "metadata": match.metadata,
                }
                for match in result.matches
            ],
            "total_found": len(result.matches),
            "search_time_ms": result.search_time_ms,
            "cached": result.cached,
        }
    )
