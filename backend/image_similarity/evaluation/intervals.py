"""Confidence intervals of means over queries: a bootstrap that draws dependent queries together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2_000
CONFIDENCE = 0.95
SEED = 6_174
"""Fixed, so that the same data give the same interval."""

FEWEST_CLUSTERS = 10
"""With fewer clusters, the interval would be unstable and too short."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the bounds of its 95 % confidence interval."""

    mean: float
    low: float
    high: float


def bootstrap(values: NDArray[np.float64], clusters: NDArray[np.int64]) -> list[Interval]:
    """Return the mean of each column of `values`, shape (queries, columns), with its interval.

    The percentile bootstrap of Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. Whole clusters
    are drawn, with all their queries (Davison & Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8),
    because queries of one label search for each other's images and so are not independent observations.
    `clusters`, shape (queries,), numbers them from 0; give each query its own for the plain bootstrap.

    To compare two models, pass the differences: both are then drawn together, which removes the difficulty of a query
    that both share. Raises ValueError if there are no queries.
    """
    if not len(values):
        raise ValueError("there are no queries to draw from")
    numbers, members = np.unique(clusters, return_inverse=True)
    sizes = np.bincount(members).astype(np.float64)
    sums = np.stack([np.bincount(members, weights=column) for column in values.T], axis=1)
    random = np.random.default_rng(SEED)
    means = np.empty((RESAMPLES, values.shape[1]))
    for number in range(RESAMPLES):
        times = np.bincount(random.integers(len(numbers), size=len(numbers)), minlength=len(numbers))
        weights = times.astype(np.float64)  # whole numbers would be multiplied without BLAS
        means[number] = weights @ sums / (weights @ sizes)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    return [Interval(*map(float, each)) for each in zip(values.mean(axis=0), low, high, strict=True)]


def clusters_or_queries(clusters: NDArray[np.int64]) -> tuple[NDArray[np.int64], bool]:
    """Return the clusters and True; if there are too few of them, each query as its own cluster, and False."""
    if len(np.unique(clusters)) >= FEWEST_CLUSTERS:
        return clusters, True
    return np.arange(len(clusters)), False
