"""What a store can be asked for, in the Qdrant client's words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qdrant_client import models

from image_similarity.domain import Embedding
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

Asked = list[float] | models.NearestQuery | models.RecommendQuery | models.RelevanceFeedbackQuery


def qdrant_query(wanted: Wanted) -> Asked:
    """Return what is wanted as a query."""
    match wanted:
        case BestScore():
            return _examples(wanted, models.RecommendStrategy.BEST_SCORE)
        case SumScores():
            return _examples(wanted, models.RecommendStrategy.SUM_SCORES)
        case RelevanceFeedback():
            return _feedback(wanted)
        case Diverse(near, diversity, candidates):
            mmr = models.Mmr(diversity=diversity, candidates_limit=candidates)
            return models.NearestQuery(nearest=_listed(near), mmr=mmr)
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
