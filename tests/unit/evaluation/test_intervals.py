"""Confidence intervals: deterministic, as wide as theory says, wider where queries hang together."""

from __future__ import annotations

import numpy as np
import pytest

from image_similarity.evaluation.intervals import bootstrap, clusters_or_queries


def test_independent_queries_give_the_interval_of_the_normal_approximation() -> None:
    values = np.random.default_rng(0).random((400, 1))
    (interval,) = bootstrap(values, np.arange(400))
    standard_error = values.std() / np.sqrt(400)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - 1.96 * standard_error, abs=0.2 * standard_error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * standard_error, abs=0.2 * standard_error)


def test_it_covers_the_true_mean_nineteen_times_in_twenty() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        subjects = random.normal(0.5, 0.1, 40)
        values = (subjects.repeat(5) + random.normal(0, 0.05, 200)).reshape(-1, 1)
        (interval,) = bootstrap(values, np.arange(40).repeat(5))
        covered += interval.low <= 0.5 <= interval.high
    assert 88 <= covered <= 99


def test_drawing_labels_widens_the_interval_of_queries_that_agree() -> None:
    values = np.repeat(np.random.default_rng(2).random(30), 10).reshape(-1, 1)
    (labels,) = bootstrap(values, np.arange(30).repeat(10))
    (queries,) = bootstrap(values, np.arange(300))
    assert labels.high - labels.low > 2.5 * (queries.high - queries.low)


def test_the_same_data_give_the_same_interval() -> None:
    values = np.random.default_rng(3).random((50, 3))
    assert bootstrap(values, np.arange(50)) == bootstrap(values, np.arange(50))


def test_models_that_differ_by_little_are_told_apart_by_differences() -> None:
    random = np.random.default_rng(4)
    one = random.random((200, 1))
    other = one - 0.02 + random.normal(0, 0.01, one.shape)
    (alone,) = bootstrap(one, np.arange(200))
    (paired,) = bootstrap(one - other, np.arange(200))
    assert alone.low < other.mean() < alone.high
    assert paired.low > 0


def test_few_labels_are_too_few_to_be_drawn() -> None:
    few, by_cluster = clusters_or_queries(np.arange(9).repeat(3))
    assert not by_cluster
    assert list(few) == list(range(27))
    enough = np.arange(10).repeat(3)
    kept, by_cluster = clusters_or_queries(enough)
    assert by_cluster
    assert kept is enough


def test_no_queries_have_no_mean() -> None:
    with pytest.raises(ValueError, match="no queries"):
        bootstrap(np.empty((0, 1)), np.empty(0, dtype=np.int64))
