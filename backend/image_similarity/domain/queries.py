"""Queries, options and results of a search, as plain types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Literal

import orjson

from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.filters import Condition, is_field
from image_similarity.domain.records import Match

MAX_PARTS = 16
"""Parts per query."""

MAX_WEIGHT = 10.0

MAX_EXAMPLES = 32
"""Positive examples per query, and as many negative ones: each is compared with every candidate."""

MAX_URLS = 8
"""URLs per query: each one is a request to another server, and an image in memory."""

MAX_GROUP_SIZE = 100

Period = Literal["day", "month", "year"]

GroupStep = float | Period
"""How values are grouped: the width of a range of numbers, or a period of the calendar in UTC."""

MAX_DIVERSE = 256
"""Results of a query with diversity, which fetches the vectors of twice as many images."""

MAX_KEYWORD_SCORE = 1000.0
"""Highest threshold for BM25, whose scores are unbounded."""

AUTO: Final = "auto"
"""Asks the engine to choose the threshold from the scores."""


@dataclass(frozen=True, slots=True)
class ImageBytes:
    """An image sent with the request."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ImageUrl:
    """An image that the server fetches."""

    url: str


@dataclass(frozen=True, slots=True)
class IndexedImage:
    """An image of the collection; a search that uses it never returns it."""

    image_id: str


@dataclass(frozen=True, slots=True)
class Text:
    """A description of the images to find."""

    text: str
    template: str | None = None
    """Sentence with {} that the text is put into before it is encoded; None for that of the settings."""


Example = ImageBytes | ImageUrl | IndexedImage
"""An image that results should be like, or unlike."""

Source = Example | Text


class Strategy(StrEnum):
    """How examples shape a query; named as in Qdrant, which does the ranking."""

    AVERAGE = "average"
    """Nearest to one vector: twice the mean of the positive examples, minus the mean of the negative ones."""
    BEST_SCORE = "best_score"
    """By the nearest example, positive or negative; the only strategy whose score is not made of cosines."""
    SUM_SCORES = "sum_scores"
    """By the sum of the cosines to positive examples, minus the sum of those to negative ones."""
    RELEVANCE_FEEDBACK = "relevance_feedback"
    """By the cosine to the query, moved towards positive and away from negative examples."""


class Mode(StrEnum):
    """What a search compares."""

    VECTOR = "vector"
    """Embeddings: images that look like the query."""
    KEYWORDS = "keywords"
    """The words in descriptions and tags, by BM25."""
    HYBRID = "hybrid"
    """Both: two rankings are fused into one."""


@dataclass(frozen=True, slots=True)
class QueryPart:
    """One thing that results should be like; with a negative weight, unlike."""

    source: Source
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Query:
    """The normalised weighted sum of the embeddings of its parts, changed by its examples."""

    parts: tuple[QueryPart, ...] = ()
    """May be empty if there are examples."""
    positive: tuple[Example, ...] = ()
    negative: tuple[Example, ...] = ()
    strategy: Strategy = Strategy.AVERAGE
    """Ignored without examples."""
    mode: Mode = Mode.VECTOR
    keywords: str | None = None
    """Words to look for in descriptions and tags; None uses the texts of the query."""
    previews: bool = False
    """Whether the result contains a small picture of each image fetched by URL."""

    def __post_init__(self) -> None:
        """Raise InvalidRequest for a query that asks for nothing."""
        examples = len(self.positive) + len(self.negative)
        self._check_mode()
        if not (0 if examples or self.mode is Mode.KEYWORDS else 1) <= len(self.parts) <= MAX_PARTS:
            raise InvalidRequest(f"A query has 1 to {MAX_PARTS} parts; this one has {len(self.parts)}.")
        for part in self.parts:
            if not 0 < abs(part.weight) <= MAX_WEIGHT:  # NaN is refused too
                raise InvalidRequest(f"A weight is up to {MAX_WEIGHT:g}, and not 0; got {part.weight:g}.")
        if self.parts and all(part.weight < 0 for part in self.parts):
            raise InvalidRequest("At least one part of a query needs a positive weight: what is to be found?")

        self._check_examples()
        if self._count_urls() > MAX_URLS:
            raise InvalidRequest(f"A query names up to {MAX_URLS} URLs.")

    @property
    def words(self) -> str:
        """The words to look for in descriptions and tags."""
        if self.keywords is not None:
            return self.keywords
        return " ".join(part.source.text for part in self.parts if isinstance(part.source, Text) and part.weight > 0)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Everything that must be embedded, including examples."""
        if self.mode is Mode.KEYWORDS:
            return ()
        return (*(part.source for part in self.parts), *self.positive, *self.negative)

    @property
    def has_urls(self) -> bool:
        """Whether images must be fetched first."""
        return self._count_urls() > 0

    def _count_urls(self) -> int:
        return sum(isinstance(source, ImageUrl) for source in self.sources)

    def _check_mode(self) -> None:
        if self.mode is Mode.VECTOR:
            if self.keywords is not None:
                raise InvalidRequest(f"keywords are for the modes {Mode.KEYWORDS} and {Mode.HYBRID}; name one as mode.")
            return
        if not self.words.strip():
            raise InvalidRequest(f"The mode {self.mode} needs words: send keywords or a text.")
        seen = (*(part.source for part in self.parts), *self.positive, *self.negative)
        if self.mode is Mode.KEYWORDS and not all(isinstance(source, Text) for source in seen):
            raise InvalidRequest(
                f"The mode {Mode.KEYWORDS} looks for words alone; with images the mode is {Mode.HYBRID}."
            )

    def _check_examples(self) -> None:
        if max(len(self.positive), len(self.negative)) > MAX_EXAMPLES:
            raise InvalidRequest(f"A query has up to {MAX_EXAMPLES} positive and {MAX_EXAMPLES} negative examples.")
        if both := [*(Counter(self.positive) & Counter(self.negative))]:
            named = f': "{both[0].image_id}"' if isinstance(both[0], IndexedImage) else ""
            raise InvalidRequest(f"An example is either positive or negative, not both{named}.")
        needs_query = self.strategy in (Strategy.AVERAGE, Strategy.RELEVANCE_FEEDBACK)
        if self.negative and not self.positive and not self.parts and needs_query:
            raise InvalidRequest(
                f"With negative examples alone, the strategy {self.strategy} has nothing to start from: add a query or "
                f"a positive example, or choose {Strategy.BEST_SCORE} or {Strategy.SUM_SCORES}."
            )

    @classmethod
    def of(cls, source: Source) -> Query:
        """Return the query for one thing."""
        return cls((QueryPart(source),))


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Options of a search, independent of its query."""

    top_k: int = 10
    threshold: float | Literal["auto"] | None = None
    """Lowest score to return; with `AUTO` the engine chooses it from the scores."""
    filter: Condition | None = None
    with_metadata: bool = True
    diversity: float = 0.0
    """Maximal marginal relevance (MMR): 0 ranks by score alone, 1 makes each result unlike those before."""
    collapse_duplicates: bool = False
    """Whether near-identical images are one result."""
    group_by: str | None = None
    """A metadata field, named as in a filter; `top_k` then counts the groups."""
    group_size: int = 3
    """Maximum number of results per group."""
    group_step: GroupStep | None = None
    """Numbers are grouped in ranges of this width, or times by day, month or year; None: by each value."""

    def __post_init__(self) -> None:
        """Raise InvalidRequest for options that make no sense."""
        if not 0 <= self.diversity <= 1:
            raise InvalidRequest(f"Diversity is a number from 0 to 1, not {self.diversity:g}.")
        if self.diversity and self.top_k > MAX_DIVERSE:
            raise InvalidRequest(f"With diversity, top_k is at most {MAX_DIVERSE}; it is {self.top_k}.")
        if self.group_by is not None and not is_field(self.group_by):
            raise InvalidRequest(f'There is no metadata field "{self.group_by}" to group by: name it as in a filter.')
        if not 1 <= self.group_size <= MAX_GROUP_SIZE:
            raise InvalidRequest(f"A group has 1 to {MAX_GROUP_SIZE} results, not {self.group_size}.")
        if self.group_step is not None and self.group_by is None:
            raise InvalidRequest("group_step says how values are grouped: name the field, too, as group_by.")
        if isinstance(self.group_step, float | int) and not 0 < self.group_step < float("inf"):
            raise InvalidRequest(f"The width of a range is a number above 0, not {self.group_step:g}.")


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to one search, best match first."""

    query_id: str
    hits: tuple[Match, ...]
    """Without metadata if `texts` has it."""
    search_time_ms: float
    cached: bool
    truncated: bool = False
    """Whether a text of the query was longer than the model's limit, so that its end was ignored."""
    threshold: float | None = None
    """The lowest score that was let in, with `AUTO` the chosen one; None if there was no threshold."""
    texts: tuple[bytes | None, ...] = ()
    """The metadata of each hit as JSON, which a JSON response includes without parsing it."""
    previews: Mapping[str, bytes] = field(default_factory=dict)
    """If the query asked for previews: URL of each fetched image to a small WebP picture."""

    @property
    def matches(self) -> tuple[Match, ...]:
        """The hits with their metadata, which is parsed at each access."""
        if not self.texts:
            return self.hits
        read = [None if text is None else orjson.loads(text) for text in self.texts]
        return tuple(replace(hit, metadata=metadata) for hit, metadata in zip(self.hits, read, strict=True))
