"""What examples make of a query, strategy by strategy."""

from __future__ import annotations

import numpy as np
import pytest

from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.queries import Strategy
from image_similarity.domain.records import Embedding
from image_similarity.engine.search.query_vector import combine, shape
from image_similarity.vectors.examples import BestScore, RelevanceFeedback, SumScores
from tests.support.records import towards


def angle(vector: object) -> float:
    assert isinstance(vector, np.ndarray)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    return float(np.degrees(np.arctan2(vector[1], vector[0])))


def lists(*examples: Embedding) -> list[list[float]]:
    return [example.tolist() for example in examples]


@pytest.mark.parametrize("strategy", Strategy)
def test_without_examples_a_query_is_its_vector(strategy: Strategy) -> None:
    vector = towards(30)
    assert shape(vector, [], [], strategy) is vector


def test_the_average_is_twice_the_mean_liked_less_the_mean_disliked() -> None:
    assert angle(shape(towards(0), [towards(40)], [], Strategy.AVERAGE)) == pytest.approx(20, abs=1e-3)
    assert angle(shape(None, [towards(0), towards(40)], [], Strategy.AVERAGE)) == pytest.approx(20, abs=1e-3)

    expected = 2 * (towards(0) + towards(40)) / 2 - (towards(60) + towards(90)) / 2
    shaped = shape(towards(0), [towards(40)], [towards(60), towards(90)], Strategy.AVERAGE)
    assert angle(shaped) == pytest.approx(angle((expected / np.linalg.norm(expected)).astype(np.float32)), abs=1e-3)


@pytest.mark.parametrize(("strategy", "kind"), [(Strategy.BEST_SCORE, BestScore), (Strategy.SUM_SCORES, SumScores)])
def test_the_query_is_one_of_the_good_examples(strategy: Strategy, kind: type[BestScore | SumScores]) -> None:
    shaped = shape(towards(0), [towards(40)], [towards(90)], strategy)
    assert isinstance(shaped, kind)
    assert lists(*shaped.positive) == lists(towards(0), towards(40))
    assert lists(*shaped.negative) == lists(towards(90))

    shaped = shape(None, [], [towards(90)], strategy)
    assert isinstance(shaped, kind)
    assert (shaped.positive, lists(*shaped.negative)) == ((), lists(towards(90)))


def test_relevance_feedback_takes_query_as_target_and_means_of_examples() -> None:
    shaped = shape(towards(0), [towards(40), towards(60)], [towards(80), towards(100)], Strategy.RELEVANCE_FEEDBACK)
    assert isinstance(shaped, RelevanceFeedback)
    assert (angle(shaped.target), angle(shaped.positive), angle(shaped.negative)) == pytest.approx(
        (0, 50, 90), abs=1e-3
    )

    shaped = shape(None, [towards(40), towards(60)], [], Strategy.RELEVANCE_FEEDBACK)
    assert isinstance(shaped, RelevanceFeedback)
    assert (angle(shaped.target), shaped.negative) == (pytest.approx(50, abs=1e-3), None)


@pytest.mark.parametrize("strategy", [Strategy.AVERAGE, Strategy.SUM_SCORES, Strategy.RELEVANCE_FEEDBACK])
def test_what_cancels_out_is_refused(strategy: Strategy) -> None:
    with pytest.raises(InvalidRequest, match="cancel each other out"):
        shape(None, [towards(0), towards(180)], [], strategy)


def test_the_sum_is_weighted_and_of_length_one() -> None:
    east, north = np.eye(2, dtype=np.float32)
    combined = combine([east, north], [3, 4])
    assert combined.dtype == np.float32
    assert combined.tolist() == pytest.approx([0.6, 0.8])
    assert combine([east], [0.25]) is east
