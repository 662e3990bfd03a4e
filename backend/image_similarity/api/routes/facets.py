"""The metadata fields to filter on."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from image_similarity.api.dependencies import EngineDep
from image_similarity.api.errors import responses
from image_similarity.api.routes import PREFIX
from image_similarity.api.schemas.facets import FacetsResponse
from image_similarity.engine.search.facets import MOST_FIELDS, MOST_VALUES

router = APIRouter(prefix=PREFIX, tags=["search"])


@router.get(
    "/facets",
    summary="The fields of the images' metadata, with their values",
    response_model=FacetsResponse,
    responses=responses(422, 503),
)
async def facets(
    engine: EngineDep,
    fields: Annotated[int, Query(ge=1, le=MOST_FIELDS, description="Most fields to return.")] = 50,
    values: Annotated[int, Query(ge=0, le=MOST_VALUES, description="Most values to return per field.")] = 20,
) -> FacetsResponse:
    """Exact for up to 5,000 images; beyond that from the newest images, and from the indexes that filters created."""
    return FacetsResponse.of(await engine.facets(), fields=fields, values=values)
