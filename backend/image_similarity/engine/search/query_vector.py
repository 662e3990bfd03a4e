"""Combine a query's vectors and its examples into the query for the store."""

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

    Raises InvalidRequest if the vectors cancel each other out.
    """
    if len(vectors) == 1:
        return vectors[0]
    # In float64, because the sum of nearly opposite vectors loses digits.
    return _unit(np.dot(np.asarray(weights, np.float64), np.asarray(vectors, np.float64)))


def shape(
    vector: Embedding | None, positive: Sequence[Embedding], negative: Sequence[Embedding], strategy: Strategy
) -> VectorQuery:
    """Return the query for the store; all vectors are unit vectors of shape (dimension,), float32.

    The query's own vector, if there is one, counts as a positive example; for relevance feedback it is the target, by
    default the mean of the positive examples. Raises InvalidRequest if the vectors cancel each other out.
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
    """Return the same as Qdrant's `average_vector`, which accepts examples only and not the query's vector."""
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
