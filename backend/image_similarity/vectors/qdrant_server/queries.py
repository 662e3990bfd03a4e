"""The queries of a store as objects of the Qdrant client."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qdrant_client import models

from image_similarity.domain.records import Embedding
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
from image_similarity.vectors.qdrant_server.keywords import word_ranking

Asked = list[float] | models.RecommendQuery | models.RelevanceFeedbackQuery


def qdrant_ranking(
    wanted: StoreQuery, top_k: int, condition: models.Filter | None, params: models.SearchParams
) -> models.Prefetch:
    """Return the ranking of up to `top_k` images that fulfil a condition; a whole query or a part of one."""
    match wanted:
        case KeywordQuery(text):
            return word_ranking(text, top_k, condition)
        case HybridQuery(near, words):
            looked_at = candidates(top_k)
            parts: list[StoreQuery] = [near, words]
            rankings = [qdrant_ranking(part, looked_at, condition, params) for part in parts]
            return models.Prefetch(prefetch=rankings, query=models.RrfQuery(rrf=models.Rrf(k=RRF_K)), limit=top_k)
        case _:
            query = qdrant_query(wanted)
            return models.Prefetch(query=query, using=VECTOR, filter=condition, params=params, limit=top_k)


def qdrant_query(wanted: VectorQuery) -> Asked:
    """Return a query by embeddings as a query of the client."""
    match wanted:
        case BestScore():
            return _examples(wanted, models.RecommendStrategy.BEST_SCORE)
        case SumScores():
            return _examples(wanted, models.RecommendStrategy.SUM_SCORES)
        case RelevanceFeedback():
            return _feedback(wanted)
        case _:
            return _listed(wanted)


def _examples(wanted: BestScore | SumScores, strategy: models.RecommendStrategy) -> models.RecommendQuery:
    asked = models.RecommendInput(
        positive=_vectors(wanted.positive), negative=_vectors(wanted.negative), strategy=strategy
    )
    return models.RecommendQuery(recommend=asked)


def _feedback(wanted: RelevanceFeedback) -> models.RelevanceFeedbackQuery:
    formula = models.NaiveFeedbackStrategyParams(a=TARGET_WEIGHT, b=CONFIDENCE_POWER, c=FEEDBACK_WEIGHT)
    asked = models.RelevanceFeedbackInput(
        target=_listed(wanted.target),
        feedback=[models.FeedbackItem(example=_listed(vector), score=worth) for vector, worth in wanted.rated],
        strategy=models.NaiveFeedbackStrategy(naive=formula),
    )
    return models.RelevanceFeedbackQuery(relevance_feedback=asked)


def _vectors(examples: Iterable[Embedding]) -> list[Any]:
    return [_listed(example) for example in examples]


def _listed(vector: Embedding) -> list[float]:
    numbers: list[float] = vector.tolist()
    return numbers
