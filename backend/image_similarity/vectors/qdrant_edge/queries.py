"""The queries of a store as objects of Qdrant Edge."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge

from image_similarity.vectors.base import HybridQuery, StoreQuery, VectorQuery
from image_similarity.vectors.examples import (
    CONFIDENCE_POWER,
    FEEDBACK_WEIGHT,
    TARGET_WEIGHT,
    BestScore,
    RelevanceFeedback,
    SumScores,
)
from image_similarity.vectors.keywords import RRF_K, KeywordQuery, candidates
from image_similarity.vectors.payload import VECTOR
from image_similarity.vectors.qdrant_edge.keywords import word_ranking


def edge_ranking(
    wanted: StoreQuery, top_k: int, condition: edge.Filter | None, params: edge.SearchParams
) -> edge.Prefetch:
    """Return the ranking of up to `top_k` images that fulfil a condition; a whole query or a part of one."""
    match wanted:
        case KeywordQuery(text):
            return word_ranking(text, top_k, condition)
        case HybridQuery(near, words):
            looked_at = candidates(top_k)
            parts: list[StoreQuery] = [near, words]
            rankings = [edge_ranking(part, looked_at, condition, params) for part in parts]
            return edge.Prefetch(top_k, edge.Fusion.Rrf(RRF_K), prefetches=rankings)  # type: ignore[arg-type]
        case _:
            return edge.Prefetch(top_k, edge_query(wanted), filter=condition, params=params)


def edge_query(wanted: VectorQuery) -> edge.Query:
    """Return a query by embeddings as a query of Edge."""
    match wanted:
        case BestScore():
            return edge.Query.RecommendBestScore(_examples(wanted), using=VECTOR)
        case SumScores():
            return edge.Query.RecommendSumScores(_examples(wanted), using=VECTOR)
        case RelevanceFeedback():
            return edge.Query.FeedbackNaive(_feedback(wanted), using=VECTOR)
        case _:
            # The type stub demands a list, but Edge takes any sequence of floats, and an array far faster.
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
