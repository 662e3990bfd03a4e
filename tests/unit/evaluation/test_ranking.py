"""Ranking by blocks: the same as one query at a time, without the query itself."""

from __future__ import annotations

import numpy as np
import pytest

from image_similarity.evaluation import ranking
from image_similarity.evaluation.metrics import METRICS
from image_similarity.evaluation.ranking import RetrievalTask, rank


def unit_rows(count: int, seed: int, dimension: int = 8) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def among_each_other(count: int, groups: int, seed: int = 0) -> RetrievalTask:
    vectors = unit_rows(count, seed)
    numbers = np.random.default_rng(seed).integers(groups, size=count)
    return RetrievalTask(vectors, vectors, numbers, numbers, itself=True)


def naively(retrieval: RetrievalTask) -> list[list[float]]:
    """Measure each answerable query by sorting a list."""
    values = []
    for query in range(len(retrieval.queries)):
        candidates = [
            (float(retrieval.queries[query] @ vector), group == retrieval.query_groups[query])
            for number, (vector, group) in enumerate(zip(retrieval.candidates, retrieval.candidate_groups, strict=True))
            if not (retrieval.itself and number == query)
        ]
        candidates.sort(reverse=True)
        ranks = np.array([place for place, (_, right) in enumerate(candidates, 1) if right])
        if len(ranks):
            values.append([measure(ranks) for measure in METRICS.values()])
    return values


@pytest.mark.parametrize("scores_at_a_time", [1, 100, 8_000_000])
def test_blocks_of_any_size_measure_what_a_sorted_list_does(
    monkeypatch: pytest.MonkeyPatch, scores_at_a_time: int
) -> None:
    monkeypatch.setattr(ranking, "_BLOCK", scores_at_a_time)
    retrieval = among_each_other(60, groups=12)
    assert rank(retrieval).values == pytest.approx(np.array(naively(retrieval)))


def test_queries_of_another_kind_than_the_candidates_are_measured_alike() -> None:
    groups = np.arange(30)
    retrieval = RetrievalTask(unit_rows(90, 1), unit_rows(30, 2), groups.repeat(3), groups, itself=False)
    ranked = rank(retrieval)
    assert list(ranked.rows) == list(range(90))
    assert ranked.values == pytest.approx(np.array(naively(retrieval)))


def test_the_best_candidates_are_kept_in_order_and_never_the_query() -> None:
    retrieval = among_each_other(40, groups=4)
    ranked = rank(retrieval)
    assert ranked.top.shape == (40, 10)
    assert not (ranked.top == ranked.rows[:, np.newaxis]).any()
    assert (np.diff(ranked.top_scores, axis=1) <= 0).all()
    scores = retrieval.scores(ranked.rows)
    assert (ranked.top_scores[:, 0] == scores.max(axis=1)).all()


def test_an_image_alone_with_its_label_is_found_but_not_searched_with() -> None:
    vectors = unit_rows(3, 0)
    groups = np.array([0, 1, 0])
    ranked = rank(RetrievalTask(vectors, vectors, groups, groups, itself=True))
    assert list(ranked.rows) == [0, 2]
    assert ranked.top.shape == (2, 2)
    assert (ranked.top == 1).any()


def test_progress_ends_with_all_queries_done() -> None:
    told: list[int] = []
    rank(among_each_other(20, groups=2), told.append)
    assert told[-1] == 20
