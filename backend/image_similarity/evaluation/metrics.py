"""The measures of retrieval, each computed from the ranks of one query's relevant candidates.

A rank is 1 for the best candidate. All measures are binary: a candidate is relevant or it is not. All are 1 for a
perfect ranking; the caller averages them over queries.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.int64]
"""Ranks of all relevant candidates of one query, shape (relevant,), ascending, at least one."""


def relevant_ranks(scores: NDArray[np.floating], relevant: NDArray[np.bool_]) -> Ranks:
    """Return the ranks of the relevant candidates; both arguments have shape (candidates,).

    Among equal scores the irrelevant candidates come first: a model that gives all images the same score must not
    profit from their order. Candidates with a score of minus infinity are left out.
    """
    wanted = np.sort(scores[relevant])[::-1]
    others = np.sort(scores[~relevant])
    before = len(others) - np.searchsorted(others, wanted, side="left")
    return before + np.arange(1, len(wanted) + 1)


def recall_at(ranks: Ranks, k: int) -> float:
    """Return 1 if at least one relevant candidate is among the first k, else 0.

    Retrieval papers call it recall@k (R@k), such as Jégou, Douze & Schmid, "Product quantization for nearest neighbor
    search", PAMI 2011, and all work on captions; elsewhere it is called hit rate. With one relevant candidate
    it is also the share of relevant candidates that were found.
    """
    return float(ranks[0] <= k)


def average_precision(ranks: Ranks) -> float:
    """Return the mean, over the relevant candidates, of the precision at the rank of each; nothing is interpolated.

    The whole ranking counts. Its mean over queries is mAP: Manning, Raghavan & Schütze, "Introduction to Information
    Retrieval", 2008, section 8.4.
    """
    return float((np.arange(1, len(ranks) + 1) / ranks).mean())


def ndcg(ranks: Ranks, k: int | None = None) -> float:
    """Return the normalised discounted cumulative gain of the first k candidates, or of all if k is None.

    A relevant candidate at rank r gains 1 / log2(1 + r); the sum is divided by the sum of an ideal ranking, in which
    all relevant ones come first. Järvelin & Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002,
    with the discount that is common today.
    """
    counted = ranks if k is None else ranks[ranks <= k]
    ideal = np.arange(1, (len(ranks) if k is None else min(len(ranks), k)) + 1)
    return float((1 / np.log2(1 + counted)).sum() / (1 / np.log2(1 + ideal)).sum())


METRICS: dict[str, Callable[[Ranks], float]] = {
    "recall@1": lambda ranks: recall_at(ranks, 1),
    "recall@5": lambda ranks: recall_at(ranks, 5),
    "recall@10": lambda ranks: recall_at(ranks, 10),
    "mAP": average_precision,
    "nDCG@10": lambda ranks: ndcg(ranks, 10),
    "nDCG": ndcg,
}
"""The reported measures, in this order."""
