"""The measures of retrieval, against their definitions written out and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_similarity.evaluation.metrics import METRICS, average_precision, ndcg, recall_at, relevant_ranks

Case = tuple[np.ndarray, np.ndarray]

patient = settings(deadline=None)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Scores, all different, and which candidates are relevant, one at least."""
    scores = draw(st.lists(st.integers(-1000, 1000), min_size=2, max_size=40, unique=True))
    relevant = draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)).filter(any))
    return np.array(scores, dtype=np.float32) / 1000, np.array(relevant)


def ranking(scores: np.ndarray, relevant: np.ndarray) -> list[bool]:
    """Whether the best, the second best, … is relevant."""
    return [bool(right) for _, right in sorted(zip(scores, relevant, strict=True), key=lambda pair: -pair[0])]


@patient
@given(cases())
def test_ranks_are_the_places_of_relevant_candidates(case: Case) -> None:
    assert list(relevant_ranks(*case)) == [place for place, right in enumerate(ranking(*case), 1) if right]


@patient
@given(cases(), st.integers(1, 50))
def test_recall_is_one_where_the_first_k_hold_a_relevant_candidate(case: Case, k: int) -> None:
    assert recall_at(relevant_ranks(*case), k) == float(any(ranking(*case)[:k]))


@patient
@given(cases())
def test_average_precision_is_the_mean_precision_at_relevant_candidates(case: Case) -> None:
    places = ranking(*case)
    precisions = [sum(places[: place + 1]) / (place + 1) for place, right in enumerate(places) if right]
    assert average_precision(relevant_ranks(*case)) == pytest.approx(sum(precisions) / len(precisions))


@patient
@given(cases(), st.integers(1, 50))
def test_ndcg_is_the_gain_over_that_of_the_best_order(case: Case, k: int) -> None:
    def gain(places: list[bool]) -> float:
        return sum(right / math.log2(1 + place) for place, right in enumerate(places, 1))

    places = ranking(*case)
    best = sorted(places, reverse=True)
    assert ndcg(relevant_ranks(*case), k) == pytest.approx(gain(places[:k]) / gain(best[:k]))
    assert ndcg(relevant_ranks(*case)) == pytest.approx(gain(places) / gain(best))


@patient
@given(cases())
def test_scikit_learn_agrees(case: Case) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    scores, relevant = case
    ranks = relevant_ranks(scores, relevant)
    assert average_precision(ranks) == pytest.approx(sklearn.average_precision_score(relevant, scores))
    assert ndcg(ranks) == pytest.approx(sklearn.ndcg_score([relevant.astype(float)], [scores]))
    assert ndcg(ranks, 10) == pytest.approx(sklearn.ndcg_score([relevant.astype(float)], [scores], k=10))


def test_among_equal_scores_the_relevant_come_last() -> None:
    same = np.ones(5, dtype=np.float32)
    assert list(relevant_ranks(same, np.array([True, False, False, True, False]))) == [4, 5]


def test_a_perfect_ranking_scores_one_everywhere() -> None:
    ranks = np.arange(1, 4)
    assert {name: measure(ranks) for name, measure in METRICS.items()} == dict.fromkeys(METRICS, 1.0)
