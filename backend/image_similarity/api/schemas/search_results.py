"""The JSON of what a search answers."""

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
        description="Cosine similarity, -1 to 1, 1 is the same; with the strategy best_score only an order. BM25 in "
        "the mode keywords, reciprocal ranks in the mode hybrid."
    )
    confidence: float | None = Field(
        description="Probability that it shows what was searched for; null where the model's scores for such a query "
        "have not been calibrated."
    )
    sha256: str = Field(description="Of the bytes; with it as `v`, file and thumbnail are kept by browsers for ever.")
    width: int = Field(description="Pixels, upright; for a page to make room before the thumbnail is there.")
    height: int
    metadata: dict[str, JsonValue] | None = Field(None, description="null where with_metadata is false.")
    duplicates: list[str] = Field(
        default=[], description="Near-identical images that this one stands for, where collapse_duplicates is true."
    )
    group: str | int | float | bool | None = Field(
        None,
        description="Value of the field group_by in whose group this is, with group_step the lower bound of its "
        "range, or its day, month or year; null without group_by.",
    )


class SearchResponse(BaseModel):
    """Neighbours, best first."""

    query_id: str = Field(description="UUIDv7 of this search.")
    results: list[SearchHit]
    total_found: int = Field(description="How many results are in this answer.")
    threshold: float | None = Field(description="The lowest score that was let in; null where every score was.")
    search_time_ms: float
    cached: bool = Field(description="true where the answer was computed before and is still valid.")
    truncated: bool = Field(description="true where a text was longer than the model reads and its end was ignored.")
    query_previews: dict[str, str] = Field(description="By image_url, its thumbnail as a data: URL, if asked for.")

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
