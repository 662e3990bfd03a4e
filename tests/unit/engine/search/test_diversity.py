"""What is chosen of the nearest, where a store does not have a say."""

from __future__ import annotations

import itertools

import pytest

from image_similarity.domain.queries import MAX_DIVERSE
from image_similarity.domain.records import Embedding, Match
from image_similarity.engine.search.diversity import candidate_count, diversify
from tests.support.records import record, towards


def match(image_id: str, angle: float) -> Match:
    made = record(image_id)
    return Match(image_id, float(towards(angle)[0]), made.sha256, made.width, made.height, {})


def chosen(angles: dict[str, float], vectors: dict[str, Embedding], *, top_k: int = 10) -> list[str]:
    matches = [match(image_id, angle) for image_id, angle in angles.items()]
    return [each.image_id for each in diversify(matches, vectors, towards(0), diversity=0.6, top_k=top_k)]


def test_the_order_in_which_a_store_found_the_nearest_does_not_matter() -> None:
    angles = {"a": 0.0, "b": 0.0, "c": 50.0, "d": -50.0}
    vectors = {image_id: towards(angle) for image_id, angle in angles.items()}
    answers = {tuple(chosen(dict(order), vectors)) for order in itertools.permutations(angles.items())}
    assert answers == {("a", "c", "d", "b")}


def test_an_image_that_was_deleted_meanwhile_is_left_out() -> None:
    assert chosen({"gone": 0, "b": 1, "c": 50}, {"b": towards(1), "c": towards(50)}) == ["b", "c"]
    assert chosen({"gone": 0}, {}) == []


def test_no_more_are_chosen_than_were_asked_for() -> None:
    angles = {"a": 0.0, "b": 1.0, "c": 50.0}
    assert chosen(angles, {image_id: towards(angle) for image_id, angle in angles.items()}, top_k=2) == ["a", "c"]


@pytest.mark.parametrize(("top_k", "candidates"), [(1, 100), (25, 100), (26, 104), (128, 512), (MAX_DIVERSE, 512)])
def test_a_few_times_as_many_are_chosen_from(top_k: int, candidates: int) -> None:
    assert candidate_count(top_k) == candidates
