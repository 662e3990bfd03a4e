"""The JSON schemas of a search's answer."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from image_similarity.api.schemas.images import (
    EXAMPLE_METADATA,
    EXAMPLE_SHA256,
)


class SearchHit(BaseModel):
    """One neighbour."""

    image_id: str
    score: float = Field(
        description="Cosine similarity from -1 to 1 (identical); with the strategy best_score it only gives the order. "
        "BM25 in the mode keywords, reciprocal ranks in the mode hybrid."
    )
    confidence: float | None = Field(
        description="Probability that the image matches the query; null if the model's scores for such a query are not "
        "calibrated."
    )
    sha256: str = Field(description="Of the bytes; with it as `v`, browsers cache file and thumbnail for ever.")
    width: int = Field(description="Pixels, upright; a page can reserve the space before the thumbnail arrives.")
    height: int
    metadata: dict[str, JsonValue] | None = Field(None, description="null if with_metadata is false.")
    duplicates: list[str] = Field(
        default=[], description="Near-identical images that are merged into this one, if collapse_duplicates is true."
    )
    group: str | int | float | bool | None = Field(
        None,
        description="The group's value of the field group_by; with group_step the lower bound of its range, or its "
        "day, month or year; null without group_by.",
    )


class SearchResponse(BaseModel):
    """Neighbours, best first."""

    query_id: str = Field(description="UUIDv7 of this search.")
    results: list[SearchHit]
    total_found: int = Field(description="How many results are in this answer.")
    threshold: float | None = Field(description="The lowest score that was allowed; null if any was.")
    search_time_ms: float
    cached: bool = Field(description="true if the answer was computed before and is still valid.")
    truncated: bool = Field(description="true if a text was longer than the model reads and its end was ignored.")
    query_previews: dict[str, str] = Field(description="Thumbnails as data: URLs, by image_url, if requested.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query_id": "019a9d5e-4c1b-7d3a-9f5e-2f6f0a1b2c3d",
                    "results": [
                        {
                            "image_id": "cats/tom.jpg",
                            "score": 0.9312,
                            "confidence": 0.9856,
                            "sha256": EXAMPLE_SHA256,
                            "width": 640,
                            "height": 480,
                            "metadata": EXAMPLE_METADATA,
                            "duplicates": ["cats/tom-small.jpg"],
                            "group": None,
                        }
                    ],
                    "total_found": 1,
                    "threshold": 0.6731,
                    "search_time_ms": 14.2,
                    "cached": False,
                    "truncated": False,
                    "query_previews": {},
                }
            ]
        }
    )
