"""Exact ranking of all candidates for all queries, by matrix products of as many queries as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_similarity.domain.records import Embedding
from image_similarity.evaluation.metrics import METRICS, relevant_ranks

TOP = 10
"""Best candidates that are kept per query: as many as a search returns by default."""

_BLOCK = 8_000_000
"""Scores that are computed at a time; with their order they take 170 MB, whatever the number of images."""

Indexes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RetrievalTask:
    """Queries and candidates; those of the same group belong together."""

    queries: Embedding
    """Unit rows, shape (queries, dimension), float32."""
    candidates: Embedding
    """Unit rows, shape (candidates, dimension), float32."""
    query_groups: Indexes
    candidate_groups: Indexes
    itself: bool
    """Query i is candidate i, and is left out of its own ranking."""

    def answerable(self) -> Indexes:
        """Return the indexes of the queries that have a relevant candidate, ascending."""
        counts = np.bincount(self.candidate_groups, minlength=int(self.query_groups.max(initial=0)) + 1)
        return np.flatnonzero(counts[self.query_groups] > int(self.itself))

    def scores(self, rows: Indexes) -> NDArray[np.float32]:
        """Return the cosine similarities, shape (rows, candidates), float32; minus infinity for a query with itself."""
        scores: NDArray[np.float32] = self.queries[rows] @ self.candidates.T
        if self.itself:
            scores[np.arange(len(rows)), rows] = -np.inf
        return scores

    def relevant(self, row: int) -> NDArray[np.bool_]:
        """Return which candidates are relevant to a query, itself excluded; shape (candidates,)."""
        relevant: NDArray[np.bool_] = self.candidate_groups == self.query_groups[row]
        if self.itself:
            relevant[row] = False
        return relevant


@dataclass(frozen=True, slots=True)
class Ranked:
    """The result of a ranking; one row per answerable query."""

    rows: Indexes
    """Index of each row's query."""
    values: NDArray[np.float64]
    """The measures, shape (rows, len(METRICS))."""
    top: Indexes
    """Best candidates, best first; shape (rows, up to TOP)."""
    top_scores: NDArray[np.float32]
    """Their cosine similarities."""


def rank(retrieval: RetrievalTask, on_progress: Callable[[int], None] = lambda _: None) -> Ranked:
    """Rank the candidates for each answerable query; `on_progress` is called with the number of queries done.

    50,000 images against each other take two to three minutes on two cores, and 170 MB in addition to their embeddings.
    """
    rows = retrieval.answerable()
    kept = min(TOP, len(retrieval.candidates) - int(retrieval.itself))
    values = np.empty((len(rows), len(METRICS)))
    top = np.empty((len(rows), kept), dtype=np.int64)
    top_scores = np.empty((len(rows), kept), dtype=np.float32)
    for start, block in _blocks(rows, len(retrieval.candidates)):
        scores = retrieval.scores(block)
        best = np.argpartition(scores, -kept, axis=1)[:, -kept:]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        part = slice(start, start + len(block))
        top[part] = np.take_along_axis(best, order, axis=1)
        top_scores[part] = np.take_along_axis(scores, top[part], axis=1)
        for offset, row in enumerate(block):
            ranks = relevant_ranks(scores[offset], retrieval.relevant(int(row)))
            values[start + offset] = [measure(ranks) for measure in METRICS.values()]
        on_progress(start + len(block))
    return Ranked(rows, values, top, top_scores)


def _blocks(rows: Indexes, candidates: int) -> Iterator[tuple[int, Indexes]]:
    size = max(1, _BLOCK // max(1, candidates))
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]
