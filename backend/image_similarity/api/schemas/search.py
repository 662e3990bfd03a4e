"""The JSON of searches, with an example each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, WrapValidator

from image_similarity.api.schemas.images import (
    EXAMPLE_IMAGE,
    ImageData,
    JsonObject,
    Schema,
    at_most,
    single_error,
)
from image_similarity.domain.image_ids import MAX_IMAGE_ID
from image_similarity.domain.queries import (
    MAX_EXAMPLES,
    MAX_GROUP_SIZE,
    MAX_KEYWORD_SCORE,
    MAX_PARTS,
    MAX_WEIGHT,
    Mode,
    Period,
    Strategy,
)
from image_similarity.engine.embedding.texts import MAX_TEXT
from image_similarity.images.fetch import MAX_URL

MAX_TOP_K = 1000

TopK = Annotated[int, Field(ge=1, le=MAX_TOP_K, description="Most results to return.")]
Threshold = Annotated[float, Field(ge=-1, le=1, description="Lowest score to return.")]
Filter = Annotated[
    JsonObject,
    Field(description="Condition on metadata: equality, lists, ranges, and/or/not; see docs/API.md."),
]
_QUERY = "Several things to look like, with weights."
_POSITIVE = "What results should be like: ids of indexed images, which are left out of them, or images."
_NEGATIVE = "What results should not be like, as above."
_MODE = "vector: by looks; keywords: by the words of descriptions and tags (BM25); hybrid: by both rankings, fused."
_STRATEGY = "How the examples shape the query; see docs/API.md."

QueryId = Annotated[
    str, Field(min_length=1, max_length=MAX_IMAGE_ID, description="An indexed image, which is left out of the results.")
]
QueryUrl = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_URL,
        description="Where the image is fetched from, http or https; ALLOW_URL_FETCH decides whether.",
    ),
]
QueryText = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, description="What is on the images, in words.")]

PromptTemplate = Annotated[
    str,
    Field(
        min_length=2,
        max_length=500,
        description='Sentence that texts are put into before they are encoded: "a photo of {}"; "{}" for none. '
        "Default: PROMPT_TEMPLATE.",
    ),
]

Keywords = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_TEXT,
        description="Words to look for in descriptions and tags, in the modes keywords and hybrid; default: the texts.",
    ),
]


def _no_threshold(most: float) -> WrapValidator:
    return single_error(f'Input should be a number from -1 to {most:g}, or "auto"')


_NO_EXAMPLE = single_error(
    "Input should be the id of an indexed image, or an object with one of image_data, image_url and image_id"
)

AutoThreshold = Annotated[Threshold | Literal["auto"], _no_threshold(1)]
AnyThreshold = Annotated[
    Annotated[float, Field(ge=-1, le=MAX_KEYWORD_SCORE)] | Literal["auto"], _no_threshold(MAX_KEYWORD_SCORE)
]

GroupStep = Annotated[
    Annotated[float, Field(gt=0, allow_inf_nan=False)] | Period,
    single_error('Input should be a number above 0, or "day", "month" or "year"'),
]


class SearchParameters(Schema):
    """What a search asks for, whatever its query is."""

    top_k: TopK = 10
    threshold: AutoThreshold | None = Field(
        None, description='Lowest score to return; "auto" cuts where the scores fall off.'
    )
    filter: Filter | None = None
    with_metadata: bool = Field(True, description="false leaves metadata out of the results.")
    diversity: float = Field(
        0.0, ge=0, le=1, description="From 0, the most alike first, to 1, each as unlike those before it as can be."
    )
    collapse_duplicates: bool = Field(False, description="true makes one result of near-identical images.")
    group_by: str | None = Field(
        None, min_length=1, max_length=256, description="Metadata field; top_k then counts its values."
    )
    group_size: int = Field(3, ge=1, le=MAX_GROUP_SIZE, description="Most results of a group.")
    group_step: GroupStep | None = Field(
        None,
        description='Groups are ranges of numbers this wide, or of times: "day", "month", "year".',
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"top_k": 5, "filter": {"species": "cat"}},
                {"threshold": "auto", "collapse_duplicates": True},
                {"group_by": "species", "group_size": 2, "diversity": 0.3},
                {"group_by": "taken_at", "group_step": "month"},
            ]
        }
    )


class ExampleFields(Schema):
    """An example, but for its image."""

    image_id: QueryId | None = None
    image_url: QueryUrl | None = None


class ExampleBody(ExampleFields):
    """One of `image_data`, `image_id` and `image_url`."""

    image_data: ImageData | None = None


class QueryPartFields(Schema):
    """A part of a query, but for its image."""

    image_id: QueryId | None = None
    image_url: QueryUrl | None = None
    text: QueryText | None = None
    weight: float = Field(
        1.0, ge=-MAX_WEIGHT, le=MAX_WEIGHT, description="How much it counts; below 0: not like this. Never 0."
    )


class QueryPartBody(QueryPartFields):
    """One of `image_data`, `image_url`, `image_id` and `text`, and its weight."""

    image_data: ImageData | None = None


class QueryFields(SearchParameters):
    """A search, but for the images in it."""

    image_id: QueryId | None = None
    image_url: QueryUrl | None = None
    text: QueryText | None = None
    prompt_template: PromptTemplate | None = None
    query: Annotated[Sequence[QueryPartFields], at_most(MAX_PARTS)] = Field(
        default=(), max_length=MAX_PARTS, description=_QUERY
    )
    positive: Annotated[Sequence[Annotated[QueryId | ExampleFields, _NO_EXAMPLE]], at_most(MAX_EXAMPLES)] = Field(
        default=(), max_length=MAX_EXAMPLES, description=_POSITIVE
    )
    negative: Annotated[Sequence[Annotated[QueryId | ExampleFields, _NO_EXAMPLE]], at_most(MAX_EXAMPLES)] = Field(
        default=(), max_length=MAX_EXAMPLES, description=_NEGATIVE
    )
    strategy: Strategy = Field(Strategy.AVERAGE, strict=False, description=_STRATEGY)
    mode: Mode = Field(Mode.VECTOR, strict=False, description=_MODE)
    keywords: Keywords | None = None
    query_previews: bool = Field(False, description="true answers a small picture of each image_url.")
    threshold: AnyThreshold | None = Field(
        None,
        description='Lowest score to return; "auto" cuts where the scores fall off. Above 1 in the mode keywords only.',
    )


class LooksFields(QueryFields):
    """A search by looks, also beside words: its scores end at 1."""

    threshold: AutoThreshold | None = None


class SearchRequest(QueryFields):
    """A search.

    What it looks for is at least one of `image_data`, `image_url`, `image_id`, `text`, `query`, `positive`, `negative`.
    """

    image_data: ImageData | None = None
    query: Annotated[Sequence[QueryPartBody], at_most(MAX_PARTS)] = Field(
        default=(), max_length=MAX_PARTS, description=_QUERY
    )
    positive: Annotated[Sequence[Annotated[QueryId | ExampleBody, _NO_EXAMPLE]], at_most(MAX_EXAMPLES)] = Field(
        default=(), max_length=MAX_EXAMPLES, description=_POSITIVE
    )
    negative: Annotated[Sequence[Annotated[QueryId | ExampleBody, _NO_EXAMPLE]], at_most(MAX_EXAMPLES)] = Field(
        default=(), max_length=MAX_EXAMPLES, description=_NEGATIVE
    )

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"image_data": EXAMPLE_IMAGE, "top_k": 5, "threshold": 0.2}]}
    )


class TextSearchRequest(SearchParameters):
    """A search with words."""

    text: QueryText
    prompt_template: PromptTemplate | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "two dogs on a beach", "top_k": 5},
                {"text": "a dog", "prompt_template": "a photo of {}"},
            ]
        }
    )


class KeywordSearchRequest(SearchParameters):
    """A search for words in descriptions and tags."""

    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT, description="Words, whole or as far as typed.")]
    threshold: (
        Annotated[float, Field(ge=0, le=MAX_KEYWORD_SCORE, description="Lowest BM25 score to return.")] | None
    ) = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "red bus", "top_k": 5}]})
