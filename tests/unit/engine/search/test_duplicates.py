"""Which hits are put together under a better one."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from image_similarity.domain.records import Match
from image_similarity.engine.search.duplicates import collapse
from tests.support.records import record, towards

ALIKE = math.cos(math.radians(10.01))
"""Two directions up to ten degrees apart are the same picture."""


def match(image_id: str, angle: float, content: str = "") -> Match:
    made = record(image_id, content=content)
    return Match(image_id, math.cos(math.radians(angle)), made.sha256, made.width, made.height, {})


def ranking(*angles: float) -> list[Match]:
    return [match(str(angle), angle) for angle in sorted(angles, key=abs)]


def collapsed(matches: list[Match]) -> list[tuple[str, tuple[str, ...]]]:
    vectors = {each.image_id: towards(float(each.image_id)) for each in matches}
    return [(each.image_id, each.duplicates) for each in collapse(matches, vectors, alike=ALIKE)]


def test_near_identical_hits_are_listed_under_the_best() -> None:
    assert collapsed(ranking(1, 5, 40, 9, 45)) == [("1", ("5", "9")), ("40", ("45",))]


def test_what_is_as_far_from_the_query_need_not_be_alike() -> None:
    assert collapsed(ranking(20, -20)) == [("20", ()), ("-20", ())]


def test_a_chain_of_small_steps_does_not_join_its_ends() -> None:
    assert collapsed(ranking(0, 8, 16, 24)) == [("0", ("8",)), ("16", ("24",))]


def test_the_same_bytes_are_the_same_picture_whatever_their_vectors() -> None:
    matches = [match("a", 0, "same"), match("b", 50), match("c", 80, "same")]
    vectors = {"a": towards(0), "b": towards(50), "c": towards(80)}
    assert [(each.image_id, each.duplicates) for each in collapse(matches, vectors, alike=ALIKE)] == [
        ("a", ("c",)),
        ("b", ()),
    ]
    assert [each.image_id for each in collapse(matches, {}, alike=ALIKE)] == ["a", "b"]


def test_an_image_without_a_vector_is_like_no_other() -> None:
    matches = [match("a", 0), match("b", 1), match("c", 2)]
    assert [each.duplicates for each in collapse(matches, {"a": towards(0), "c": towards(2)}, alike=ALIKE)] == [
        ("c",),
        (),
    ]


def test_nothing_collapses_to_nothing() -> None:
    assert collapse([], {}, alike=ALIKE) == []


@given(st.lists(st.integers(-180, 180), unique=True, max_size=40))
def test_every_hit_is_there_once_and_leaders_are_apart(angles: list[int]) -> None:
    matches = ranking(*angles)
    found = collapsed(matches)
    assert sorted(name for leader, others in found for name in (leader, *others)) == sorted(map(str, angles))
    order = [each.image_id for each in matches]
    for place, (leader, others) in enumerate(found):
        assert [order.index(name) for name in (leader, *others)] == sorted(
            order.index(name) for name in (leader, *others)
        )
        for other, _ in found[:place]:
            assert math.cos(math.radians(int(leader) - int(other))) < ALIKE + 1e-6
