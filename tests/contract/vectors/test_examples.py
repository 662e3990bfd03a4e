"""What every vector store makes of good and bad examples; see `image_similarity.vectors.examples`."""

from __future__ import annotations

import math

import numpy as np
import pytest

from image_similarity.domain.filters import parse_filter
from image_similarity.domain.records import Match
from image_similarity.vectors.base import HybridQuery, VectorStore
from image_similarity.vectors.examples import (
    CONFIDENCE_POWER,
    FEEDBACK_WEIGHT,
    TARGET_WEIGHT,
    BestScore,
    Examples,
    RelevanceFeedback,
    SumScores,
    direction_of,
    scale_of,
)
from image_similarity.vectors.keywords import KeywordQuery
from tests.support.records import record, towards

ANGLES = (0, 20, 40, 60, 80, 180)


def cosine(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def scores(matches: list[Match]) -> dict[int, float]:
    """Return the scores by angle, best first."""
    found = {int(match.image_id.removeprefix("at-")): match.score for match in matches}
    assert list(found.values()) == sorted(found.values(), reverse=True)
    return found


@pytest.fixture
async def fan(store: VectorStore) -> VectorStore:
    await store.upsert([(record(f"at-{angle}", {"angle": angle}), towards(angle)) for angle in ANGLES])
    return store


ALL = [
    BestScore((towards(20),), (towards(80),)),
    SumScores((towards(20),), (towards(80),)),
    RelevanceFeedback(towards(0), towards(20), towards(80)),
]


async def test_the_best_score_is_that_of_the_nearest_example(fan: VectorStore) -> None:
    found = scores(await fan.query(BestScore((towards(0), towards(42)), (towards(73),)), top_k=10))

    assert list(found) == [0, 40, 20, 180, 60, 80]
    assert [angle for angle, score in found.items() if score > 0] == [0, 40, 20]
    assert all(-1 < score < 1 for score in found.values())


async def test_bad_examples_alone_put_the_most_different_first(fan: VectorStore) -> None:
    assert list(scores(await fan.query(BestScore((), (towards(0),)), top_k=10))) == [180, 80, 60, 40, 20, 0]
    assert list(scores(await fan.query(SumScores((), (towards(0),)), top_k=10))) == [180, 80, 60, 40, 20, 0]


async def test_summed_scores_are_the_cosine_to_the_sum(fan: VectorStore) -> None:
    wanted = SumScores((towards(0), towards(30)), (towards(80),))
    found = scores(await fan.query(wanted, top_k=10))

    length = np.linalg.norm(towards(0) + towards(30) - towards(80))
    for angle in ANGLES:
        sum_of_cosines = cosine(angle) + cosine(angle - 30) - cosine(angle - 80)
        assert found[angle] == pytest.approx(sum_of_cosines / length, abs=1e-5)
    assert next(iter(found)) == 0


async def test_feedback_moves_the_target_towards_the_good_and_away_from_the_bad(fan: VectorStore) -> None:
    plain = scores(await fan.query(towards(28), top_k=10))
    assert list(plain)[:2] == [20, 40]
    good = scores(await fan.query(RelevanceFeedback(towards(28), towards(80), None), top_k=10))
    assert list(good)[:2] == [40, 60]
    bad = scores(await fan.query(RelevanceFeedback(towards(28), None, towards(80)), top_k=10))
    assert list(bad)[:2] == [20, 0]
    both = scores(await fan.query(RelevanceFeedback(towards(28), towards(60), towards(0)), top_k=10))
    assert list(both)[:2] == [60, 80]


async def test_feedback_scores_are_the_cosine_to_what_the_target_became(fan: VectorStore) -> None:
    wanted = RelevanceFeedback(towards(30), towards(60), towards(0))
    found = scores(await fan.query(wanted, top_k=10))

    # The pair of the examples counts whole, their pairs with the target, which is neutral, half.
    assert (TARGET_WEIGHT, CONFIDENCE_POWER) == (1, 1)
    became = towards(30) + FEEDBACK_WEIGHT * 1.5 * (towards(60) - towards(0))
    for angle in ANGLES:
        assert found[angle] == pytest.approx(float(became @ towards(angle)) / np.linalg.norm(became), abs=1e-5)


@pytest.mark.parametrize("wanted", ALL, ids=lambda wanted: type(wanted).__name__)
async def test_examples_go_with_every_option_of_a_query(fan: VectorStore, wanted: Examples) -> None:
    everything = await fan.query(wanted, top_k=10)
    assert len(everything) == len(ANGLES)

    assert await fan.query(wanted, top_k=2) == everything[:2]
    left_out = [everything[0].image_id, everything[2].image_id]
    assert await fan.query(wanted, top_k=10, exclude=left_out) == [everything[1], *everything[3:]]
    few = parse_filter({"angle": {"gte": 40}})
    assert await fan.query(wanted, top_k=10, condition=few) == [
        hit for hit in everything if hit.metadata["angle"] >= 40
    ]
    bare = await fan.query(wanted, top_k=10, with_metadata=False)
    assert [hit.metadata for hit in bare] == [None] * len(ANGLES)
    threshold = everything[2].score
    assert await fan.query(wanted, top_k=10, threshold=threshold) == everything[:3]


@pytest.mark.parametrize("wanted", ALL, ids=lambda wanted: type(wanted).__name__)
async def test_examples_may_be_the_half_of_a_hybrid_ranking_that_looks(store: VectorStore, wanted: Examples) -> None:
    described = {angle: {"description": "a red bus" if angle in (40, 80) else "a field"} for angle in ANGLES}
    await store.upsert([(record(f"at-{angle}", described[angle]), towards(angle)) for angle in ANGLES])

    looks = [match.image_id for match in await store.query(wanted, top_k=10)]
    both = [match.image_id for match in await store.query(HybridQuery(wanted, KeywordQuery("bus")), top_k=10)]
    # Two rankings speak for it, and it looks more like what is wanted than the other bus.
    assert both[0] == "at-40"
    assert set(both) == set(looks)


@pytest.mark.parametrize("wanted", ALL[1:], ids=lambda wanted: type(wanted).__name__)
async def test_scores_that_are_cosines_are_those_to_one_direction(fan: VectorStore, wanted: Examples) -> None:
    direction = direction_of(wanted)
    assert direction is not None
    expected = [(match.image_id, pytest.approx(match.score, abs=1e-5)) for match in await fan.query(wanted, top_k=10)]
    assert [(match.image_id, match.score) for match in await fan.query(direction, top_k=10)] == expected
    assert direction_of(direction) is direction
    assert direction_of(ALL[0]) is None


def test_what_cancels_out_has_no_scale() -> None:
    assert scale_of(SumScores((towards(0),), (towards(0),))) == 0
    assert scale_of(SumScores((towards(0), towards(180)), ())) == 0
    assert scale_of(BestScore((towards(0),), (towards(0),))) == 1
    assert scale_of(towards(0)) == 1
