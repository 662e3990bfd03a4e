"""The JSON schemas of searches, each with an example."""

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
_QUERY = "Several images or texts with weights, combined into one query."
_POSITIVE = "Results should be like these: ids of indexed images, which are left out of the results, or images."
_NEGATIVE = "Results should not be like these: ids of indexed images, which are left out of the results, or images."
_MODE = (
    "vector: by appearance; keywords: by the words of descriptions and tags (BM25); hybrid: by both rankings, fused."
)
_STRATEGY = "How the examples shape the query; see docs/API.md."

QueryId = Annotated[
    str, Field(min_length=1, max_length=MAX_IMAGE_ID, description="An indexed image, which is left out of the results.")
]
QueryUrl = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_URL,
        description="http or https URL of the image; the server fetches it only if ALLOW_URL_FETCH is set.",
    ),
]
QueryText = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, description="A description of the images.")]

PromptTemplate = Annotated[
    str,
    Field(
        min_length=2,
        max_length=500,
        description='Sentence to put texts into before they are encoded, such as "a photo of {}"; "{}" for none. '
        "Default: PROMPT_TEMPLATE.",
    ),
]

Keywords = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_TEXT,
        description="Words to search for in descriptions and tags, in the mode keywords or hybrid; default: the texts.",
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
    """The parameters of any search, whatever its query is."""

    top_k: TopK = 10
    threshold: AutoThreshold | None = Field(
        None, description='Lowest score to return; "auto" cuts at the gap below the best scores.'
    )
    filter: Filter | None = None
    with_metadata: bool = Field(True, description="false leaves metadata out of the results.")
    diversity: float = Field(
        0.0, ge=0, le=1, description="From 0 (most similar first) to 1 (each as unlike those before it as possible)."
    )
    collapse_duplicates: bool = Field(False, description="true merges near-identical images into one result.")
    group_by: str | None = Field(
        None, min_length=1, max_length=256, description="Metadata field; top_k then counts its values."
    )
    group_size: int = Field(3, ge=1, le=MAX_GROUP_SIZE, description="Most results per group.")
    group_step: GroupStep | None = Field(
        None,
        description='Width of a group: a number, or "day", "month" or "year" for times.',
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
    """An example without its `image_data`."""

    image_id: QueryId | None = None
    image_url: QueryUrl | None = None


class ExampleBody(ExampleFields):
    """One of `image_data`, `image_id` and `image_url`."""

    image_data: ImageData | None = None


class QueryPartFields(Schema):
    """A part of a query without its `image_data`."""

    image_id: QueryId | None = None
    image_url: QueryUrl | None = None
    text: QueryText | None = None
    weight: float = Field(
        1.0, ge=-MAX_WEIGHT, le=MAX_WEIGHT, description="How much the part counts; below 0: unlike this. Never 0."
    )


class QueryPartBody(QueryPartFields):
    """One of `image_data`, `image_url`, `image_id` and `text`, and its weight."""

    image_data: ImageData | None = None


class QueryFields(SearchParameters):
    """A search without its `image_data`."""

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
    query_previews: bool = Field(False, description="true returns a small picture of each image_url.")
    threshold: AnyThreshold | None = Field(
        None,
        description='Lowest score to return; "auto" cuts at the gap below the best scores. Above 1 only with keywords.',
    )


class LooksFields(QueryFields):
    """A search in the mode vector or hybrid: no score is above 1."""

    threshold: AutoThreshold | None = None


class SearchRequest(QueryFields):
    """A search.

    It has at least one of `image_data`, `image_url`, `image_id`, `text`, `query`, `positive`, `negative`.
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
    """A search by a text."""

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

    text: Annotated[
        str, Field(min_length=1, max_length=MAX_TEXT, description="Whole words; the last one may be unfinished.")
    ]
    threshold: (
        Annotated[float, Field(ge=0, le=MAX_KEYWORD_SCORE, description="Lowest BM25 score to return.")] | None
    ) = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "red bus", "top_k": 5}]})
