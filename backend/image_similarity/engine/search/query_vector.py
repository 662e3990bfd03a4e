"""From a query's vector and its examples to what the store is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.queries import Strategy
from image_similarity.domain.records import Embedding
from image_similarity.vectors.base import VectorQuery
from image_similarity.vectors.examples import BestScore, RelevanceFeedback, SumScores, scale_of

_TINY = 1e-6


def combine(vectors: Sequence[Embedding], weights: Sequence[float]) -> Embedding:
    """Return the weighted sum of unit vectors, each of shape (dimension,), as a unit vector, float32.

    Raises InvalidRequest where nothing is left of it.
    """
    if len(vectors) == 1:
        return vectors[0]
    # float64: the sum of nearly opposite vectors loses digits.
    return _unit(np.dot(np.asarray(weights, np.float64), np.asarray(vectors, np.float64)))


def shape(
    vector: Embedding | None, positive: Sequence[Embedding], negative: Sequence[Embedding], strategy: Strategy
) -> VectorQuery:
    """Return what to ask the store for; all vectors are unit vectors of shape (dimension,), float32.

    The query's own vector, where there is one, counts as a positive example; for relevance feedback it is the target,
    which else is the middle of the positive ones. Raises InvalidRequest where nothing is left of it all.
    """
    if vector is not None and not positive and not negative:
        return vector
    liked = [*([] if vector is None else [vector]), *positive]
    match strategy:
        case Strategy.AVERAGE:
            return _average(liked, negative)
        case Strategy.BEST_SCORE:
            return BestScore(tuple(liked), tuple(negative))
        case Strategy.SUM_SCORES:
            return _with_scale(SumScores(tuple(liked), tuple(negative)))
        case Strategy.RELEVANCE_FEEDBACK:
            target = vector if vector is not None else _middle(positive)
            good, bad = (_middle(examples) if examples else None for examples in (positive, negative))
            return _with_scale(RelevanceFeedback(target, good, bad))


def _average(liked: Sequence[Embedding], negative: Sequence[Embedding]) -> Embedding:
    """As Qdrant's `average_vector`, which takes no vector that is not an example."""
    mean = np.mean(np.asarray(liked, np.float64), axis=0)
    return _unit(2 * mean - np.mean(np.asarray(negative, np.float64), axis=0) if negative else mean)


def _middle(examples: Sequence[Embedding]) -> Embedding:
    return _unit(np.sum(np.asarray(examples, np.float64), axis=0))


def _with_scale(wanted: SumScores | RelevanceFeedback) -> VectorQuery:
    if scale_of(wanted) == 0:
        raise _nothing_left()
    return wanted


def _unit(vector: NDArray[np.float64]) -> Embedding:
    length = float(np.linalg.norm(vector))
    if length < _TINY:
        raise _nothing_left()
    unit: Embedding = (vector / length).astype(np.float32)
    return unit


def _nothing_left() -> InvalidRequest:
    return InvalidRequest("The parts of the query cancel each other out; change a weight, or an example.")
