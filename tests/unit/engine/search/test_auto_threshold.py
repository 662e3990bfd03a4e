"""Where `threshold: "auto"` cuts; scores are those of the best candidates, best first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from image_similarity.engine.search.auto_threshold import FALSE_ALARMS, FALSE_ALARMS_OF_TEXTS, FEWEST, WINDOW, score_cut

IMAGES = 10_000


def noise(count: int = IMAGES, *, mean: float = 0.1, spread: float = 0.05, seed: int = 7) -> NDArray[np.float64]:
    """What a query scores with images that have nothing to do with it, best first."""
    return np.sort(np.random.default_rng(seed).normal(mean, spread, count))[::-1]


BACKGROUND = noise(256, seed=8)


def kept(matches: list[float], background: NDArray[np.float64] = BACKGROUND, **options: float) -> list[float]:
    """The scores that are let in where a collection has these beside its noise."""
    scores = sorted([*matches, *noise()], reverse=True)[:WINDOW]
    cut = score_cut(scores, background, images=IMAGES, **options)
    assert cut is not None
    return [score for score in scores if score >= cut]


def test_one_clear_match_stands_alone() -> None:
    assert kept([0.8]) == [0.8]


@pytest.mark.parametrize("count", [2, 5, 12, 30, 50])
def test_many_matches_are_all_kept_and_the_noise_is_not(count: int) -> None:
    matches = np.linspace(0.8, 0.6, count).tolist()
    assert kept(matches) == matches


def test_a_match_among_near_misses_of_its_own_kind_is_still_first() -> None:
    found = kept([0.95, 0.5, 0.49, 0.48])
    assert found[0] == 0.95
    assert min(found) >= 0.48


def test_where_nothing_is_apart_nothing_is_kept() -> None:
    assert kept([]) == []


def test_negative_scores_are_scores_like_others() -> None:
    scores = [-0.1, *(-0.7 - 0.001 * number for number in range(80))]
    background = noise(256, mean=-0.8, spread=0.03)
    cut = score_cut(scores, background, images=IMAGES)
    assert cut is not None
    assert -0.7 < cut < -0.1


def test_more_matches_than_the_window_shows_are_cut_where_chance_begins() -> None:
    cluster = np.linspace(0.9, 0.7, 500).tolist()
    cut = score_cut(cluster[:WINDOW], BACKGROUND, images=IMAGES)
    assert cut is not None
    assert noise()[0] < cut < 0.7


def test_where_all_images_are_the_same_picture_all_are_kept() -> None:
    alike = noise(200, mean=0.98, spread=0.004)
    assert len([score for score in alike if score >= (score_cut(alike, alike, images=200, alike=0.95) or 2)]) == 200


def test_images_that_are_all_alike_are_no_matches_for_one_more_of_them() -> None:
    """Alike but not the same: a query like all the others finds none of them."""
    alike = noise(200, mean=0.6, spread=0.03)
    cut = score_cut(alike, alike, images=200, alike=0.95)
    assert cut is not None
    assert cut > alike[0]


def test_equal_scores_have_no_gap_between_them() -> None:
    cut = score_cut([0.9] * 5 + [0.1] * 40, np.full(40, 0.1), images=45)
    assert cut == pytest.approx(0.5)
    assert score_cut([0.4] * 45, np.full(45, 0.4), images=45) == 0.4


@pytest.mark.parametrize("scores", [[], [0.9], [0.9, 0.1], [0.9, 0.8, 0.1]])
def test_a_handful_of_images_is_too_little_to_tell_by(scores: list[float]) -> None:
    assert score_cut(scores, np.array(scores), images=len(scores)) is None
    assert score_cut(scores, None, images=len(scores)) is None


def test_few_candidates_of_a_large_collection_are_judged_by_all_of_it() -> None:
    assert (score_cut([0.9], BACKGROUND, images=IMAGES) or 1) < 0.9
    assert (score_cut([0.12, 0.11], BACKGROUND, images=IMAGES) or 0) > 0.12


def test_without_a_background_the_gap_alone_decides() -> None:
    scores = [5.0, 4.9, 4.8, *np.linspace(1, 0, 40)]
    cut = score_cut(scores, None, images=1)
    assert cut is not None
    assert 1 < cut < 4.8
    assert score_cut([0.5] * 40, None, images=1) is None


def test_the_more_images_there_are_the_better_a_match_must_be() -> None:
    few = score_cut([0.12], BACKGROUND, images=100)
    many = score_cut([0.12], BACKGROUND, images=10_000_000)
    assert few is not None
    assert many is not None
    assert 0.12 < few < many


def test_where_more_false_alarms_are_granted_a_match_need_not_be_as_good() -> None:
    # 3.9 deviations above the background, where 0.05 of 1,000 images would be by chance.
    scores = [0.295, *noise(60, mean=0.1, spread=0.02)]
    cuts = [score_cut(scores, BACKGROUND, images=1000, false_alarms=number) for number in (0.01, 0.1, 1)]
    assert [cut is not None and cut < 0.295 for cut in cuts] == [False, True, True]


def test_more_false_alarms_are_granted_to_texts_than_to_images() -> None:
    assert FALSE_ALARMS < FALSE_ALARMS_OF_TEXTS < 1


cosines = st.floats(-1, 1, width=32)
rankings = st.lists(cosines, min_size=1, max_size=100).map(lambda scores: sorted(scores, reverse=True))
backgrounds = st.lists(cosines, min_size=FEWEST, max_size=60).map(np.array)


@given(rankings, backgrounds, st.integers(1, 10**9))
def test_a_cut_is_a_number_and_the_best_are_never_cut_off_before_others(
    scores: list[float], background: NDArray[np.float64], images: int
) -> None:
    cut = score_cut(scores, background, images=images)
    if cut is not None:
        assert np.isfinite(cut)
        assert all(better >= cut for better in scores if any(worse >= cut and better >= worse for worse in scores))


@given(rankings, st.integers(2, 5))
def test_no_cut_runs_through_equal_scores(scores: list[float], copies: int) -> None:
    repeated = [score for score in scores for _ in range(copies)]
    cut = score_cut(repeated, None, images=1)
    if cut is not None:
        assert len([score for score in repeated if score >= cut]) % copies == 0
        assert min(abs(score - cut) for score in repeated) > 0


@given(rankings, backgrounds, st.sampled_from([2.0**-10, 0.5, 2.0, 1024.0]))
def test_the_scale_of_the_scores_does_not_matter(
    scores: list[float], background: NDArray[np.float64], factor: float
) -> None:
    plain = score_cut(scores, background, images=IMAGES)
    scaled = score_cut([factor * score for score in scores], factor * background, images=IMAGES)
    assert (plain is None) == (scaled is None)
    if plain is not None and scaled is not None:
        assert scaled == pytest.approx(factor * plain, rel=1e-6, abs=1e-12 * factor)


@given(rankings, backgrounds)
def test_the_order_of_the_background_does_not_matter(scores: list[float], background: NDArray[np.float64]) -> None:
    one, other = (score_cut(scores, each, images=IMAGES) for each in (background, background[::-1]))
    assert (one is None and other is None) or one == pytest.approx(other, rel=1e-9, abs=1e-9)
