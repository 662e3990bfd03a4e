"""What a search asks for and what it answers, as plain types."""

from __future__ import annotations

from dataclasses import dataclass

from image_similarity.domain import Condition, InvalidRequest, Match

MAX_PARTS = 16
"""Of one query."""

MAX_WEIGHT = 10.0


@dataclass(frozen=True, slots=True)
class ImageBytes:
    """An image that comes with the request."""

    data: bytes


@dataclass(frozen=True, slots=True)
class IndexedImage:
    """An image of the collection; never a result of the search it is part of."""

    image_id: str


@dataclass(frozen=True, slots=True)
class Text:
    """What is on the images that are looked for, in words."""

    text: str


Source = ImageBytes | IndexedImage | Text


@dataclass(frozen=True, slots=True)
class QueryPart:
    """One thing to look like, or with a negative weight not to look like."""

    source: Source
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: the weighted sum of the parts' embeddings, normalised."""

    parts: tuple[QueryPart, ...]

    def __post_init__(self) -> None:
        """Raise InvalidRequest for a query that asks for nothing."""
        if not 0 < len(self.parts) <= MAX_PARTS:
            raise InvalidRequest(f"A query has 1 to {MAX_PARTS} parts; this one has {len(self.parts)}.")
        for part in self.parts:
            if not 0 < abs(part.weight) <= MAX_WEIGHT:  # NaN is refused too
                raise InvalidRequest(f"A weight is up to {MAX_WEIGHT:g}, and not 0; got {part.weight:g}.")
        if all(part.weight < 0 for part in self.parts):
            raise InvalidRequest("At least one part of a query needs a positive weight: what is to be found?")

    @classmethod
    def of(cls, source: Source) -> Query:
        """Return the query for one thing."""
        return cls((QueryPart(source),))


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What a search asks for, whatever its query is."""

    top_k: int = 10
    threshold: float | None = None
    """Lowest cosine similarity to return."""
    filter: Condition | None = None
    with_metadata: bool = True


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to one search, best match first."""

    query_id: str
    matches: tuple[Match, ...]
    search_time_ms: float
    cached: bool
    truncated: bool = False
    """Whether a text of the query was longer than the model reads, and its end was ignored."""
