"""What a store can be asked for, in Qdrant Edge's words."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge

from image_similarity.vectors.base import Wanted
from image_similarity.vectors.diverse import Diverse
from image_similarity.vectors.examples import (
    CONFIDENCE_POWER,
    FEEDBACK_WEIGHT,
    TARGET_WEIGHT,
    BestScore,
    RelevanceFeedback,
    SumScores,
)
from image_similarity.vectors.payload import VECTOR


def edge_query(wanted: Wanted) -> edge.Query | edge.Mmr:
    """Return what is wanted as a query."""
    match wanted:
        case BestScore():
            return edge.Query.RecommendBestScore(_examples(wanted), using=VECTOR)
        case SumScores():
            return edge.Query.RecommendSumScores(_examples(wanted), using=VECTOR)
        case RelevanceFeedback():
            return edge.Query.FeedbackNaive(_feedback(wanted), using=VECTOR)
        case Diverse():
            near: Any = wanted.near
            return edge.Mmr(near, wanted.relevance, wanted.candidates, using=VECTOR)
        case _:
            # The stub asks for a list, but any sequence of floats is taken, and an array far faster.
            vector: Any = wanted
            return edge.Query.Nearest(vector, using=VECTOR)


def _examples(wanted: BestScore | SumScores) -> edge.RecommendQuery:
    positive: list[Any] = [*wanted.positive]
    negative: list[Any] = [*wanted.negative]
    return edge.RecommendQuery(positive, negative)


def _feedback(wanted: RelevanceFeedback) -> edge.FeedbackNaiveQuery:
    target: Any = wanted.target
    rated: list[tuple[Any, float]] = [*wanted.rated]
    return edge.FeedbackNaiveQuery(
        target,
        [edge.FeedbackItem(vector, worth) for vector, worth in rated],
        edge.NaiveFeedbackStrategy(TARGET_WEIGHT, CONFIDENCE_POWER, FEEDBACK_WEIGHT),
    )
