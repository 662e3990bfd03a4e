"""Rankings by positive and negative examples, with Qdrant's formulas.

Qdrant's scores have different scales. Those of `SumScores` and `RelevanceFeedback` are sums of cosines, and so the
product with one vector, which need not be a unit vector. Divided by its length (`scale_of`), they are cosines to
`direction_of`. Those of `BestScore` only define an order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_similarity.domain.records import Embedding
from image_similarity.vectors.payload import SCORE_ROUNDING

POSITIVE, NEUTRAL, NEGATIVE = 1.0, 0.5, 0.0
"""Worth of examples in `RelevanceFeedback`; the target is neutral, so that examples of one kind are enough."""

TARGET_WEIGHT = 1.0
"""Qdrant's `a`: weight of the cosine to the target."""

CONFIDENCE_POWER = 1.0
"""Qdrant's `b`: with 1, the weight of a pair is the difference of its worths."""

FEEDBACK_WEIGHT = 0.5
"""Qdrant's `c`: weight of the pairs; docs/QUALITY-LAB.md compares other values."""

_TINY = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class BestScore:
    """By the nearest example: high near a positive one, below 0 near a negative one.

    Unit vectors, shape (dimension,), float32; at least one in all.
    """

    positive: tuple[Embedding, ...]
    negative: tuple[Embedding, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SumScores:
    """By the sum of the cosines to the positive examples, minus the sum of those to the negative ones.

    Unit vectors, shape (dimension,), float32; at least one in all.
    """

    positive: tuple[Embedding, ...]
    negative: tuple[Embedding, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RelevanceFeedback:
    """By the cosine to a target, plus how much nearer an image is to the better one of each pair of examples.

    Score of an image = a * cos(target) + c * sum over pairs of (difference in worth)^b * (cos(better) - cos(worse)).
    Unit vectors, shape (dimension,), float32.
    """

    target: Embedding
    positive: Embedding | None
    negative: Embedding | None

    @property
    def rated(self) -> list[tuple[Embedding, float]]:
        """The vectors that form pairs, each with its worth."""
        rated = [(self.target, NEUTRAL)]
        if self.positive is not None:
            rated.append((self.positive, POSITIVE))
        if self.negative is not None:
            rated.append((self.negative, NEGATIVE))
        return rated


Examples = BestScore | SumScores | RelevanceFeedback


def scale_of(wanted: object) -> float:
    """Return the divisor of Qdrant's scores; 0 if the score is 0 for every image."""
    if not isinstance(wanted, SumScores | RelevanceFeedback):
        return 1.0
    length = float(np.linalg.norm(_total(wanted)))
    return length if length > _TINY else 0.0


def direction_of(wanted: object) -> Embedding | None:
    """Return the unit vector, shape (dimension,), float32, to which the scores are cosines; None if they are not.

    Do not call it if `scale_of` is 0: then there is no direction.
    """
    if isinstance(wanted, np.ndarray):
        return wanted
    if not isinstance(wanted, SumScores | RelevanceFeedback):
        return None
    unit: Embedding = (_total(wanted) / scale_of(wanted)).astype(np.float32)
    return unit


def lowest_score(threshold: float | None, wanted: object) -> float | None:
    """Return the threshold on the scale of Qdrant's scores."""
    return None if threshold is None else (threshold - SCORE_ROUNDING) * scale_of(wanted)


def _total(wanted: SumScores | RelevanceFeedback) -> NDArray[np.float64]:
    """Return the vector whose product with an image's vector is Qdrant's score; float64."""
    if isinstance(wanted, SumScores):
        return _sum(wanted.positive) - _sum(wanted.negative)
    total = TARGET_WEIGHT * wanted.target.astype(np.float64)
    for better, high in wanted.rated:
        for worse, low in wanted.rated:
            if high > low:
                total += FEEDBACK_WEIGHT * (high - low) ** CONFIDENCE_POWER * (better - worse)
    return total


def _sum(vectors: Sequence[Embedding]) -> NDArray[np.float64]:
    total: NDArray[np.float64] = np.sum(np.asarray(vectors, np.float64), axis=0)
    return total
