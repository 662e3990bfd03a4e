"""How hits are put into groups by a metadata field."""

from __future__ import annotations

from typing import Any

import pytest

from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.queries import Period, SearchOptions
from image_similarity.domain.records import Match
from image_similarity.engine.search.groups import Groups, group, has_group


def match(image_id: str, **metadata: Any) -> Match:
    return Match(image_id, 0.5, "0" * 64, 1, 1, metadata)


def shown(groups: Groups) -> list[tuple[object, str]]:
    return [(each.group, each.image_id) for each in groups.matches]


def test_groups_are_in_the_order_of_their_best_hit_and_together() -> None:
    matches = [match("1", kind="b"), match("2", kind="a"), match("3", kind="b"), match("4", kind="a")]
    assert shown(group(matches, "kind", top_k=5, size=5)) == [("b", "1"), ("b", "3"), ("a", "2"), ("a", "4")]


def test_top_k_counts_groups_and_size_their_hits() -> None:
    matches = [match(str(number), kind=number % 3) for number in range(9)]
    groups = group(matches, "kind", top_k=2, size=2)
    assert shown(groups) == [(0, "0"), (0, "3"), (1, "1"), (1, "4")]
    assert groups.full
    assert not group(matches, "kind", top_k=2, size=4).full


def test_an_image_is_in_the_group_of_each_of_its_values_once() -> None:
    matches = [match("1", tags=["x", "y", "x"]), match("2", tags="y"), match("3", tags=[])]
    assert shown(group(matches, "tags", top_k=5, size=5)) == [("x", "1"), ("y", "1"), ("y", "2")]


@pytest.mark.parametrize("missing", [{}, {"kind": None}, {"kind": {"a": 1}}, {"kind": [None, [1], {}]}, {"other": 1}])
def test_an_image_without_a_value_is_in_no_group(missing: dict[str, Any]) -> None:
    assert shown(group([match("1", **missing)], "kind", top_k=5, size=5)) == []


def test_true_is_not_one_but_one_is_one() -> None:
    values = [1, True, 1.0, "1", False, 0, 0.0]
    matches = [match(str(number), kind=value) for number, value in enumerate(values)]
    assert [(repr(each.group), each.image_id) for each in group(matches, "kind", top_k=9, size=9).matches] == [
        ("1", "0"),
        ("1", "2"),
        ("True", "1"),
        ("'1'", "3"),
        ("False", "4"),
        ("0", "5"),
        ("0", "6"),
    ]


def test_a_path_leads_into_nested_objects_as_in_a_filter() -> None:
    matches = [match("1", camera={"model": "X"}), match("2", **{"camera.model": "X"})]
    assert shown(group(matches, "camera.model", top_k=5, size=5)) == [("X", "1")]


def test_whole_numbers_of_any_size_are_told_apart() -> None:
    matches = [match("1", n=2**53), match("2", n=2**53 + 1)]
    assert len(group(matches, "n", top_k=5, size=5).hits) == 2


def test_numbers_are_grouped_in_ranges() -> None:
    matches = [match(str(price), price=price) for price in (120, 49.99, 50, 0, -0.5, "50", True, 10**300)]
    groups = group(matches, "price", top_k=9, size=5, step=50.0)
    assert shown(groups) == [(100, "120"), (0, "49.99"), (0, "0"), (50, "50"), (-50, "-0.5"), (1e300, str(10**300))]
    tenths = group([match("1", price=0.35)], "price", top_k=9, size=5, step=0.1)
    assert shown(tenths) == [(0.3, "1")]
    assert shown(group([match("1", price=1e308)], "price", top_k=9, size=5, step=1e-300)) == [], "no such range"


@pytest.mark.parametrize(
    ("step", "names"), [("day", ["2026-11-27", "2026-11-28"]), ("month", ["2026-11"] * 2), ("year", ["2026"] * 2)]
)
def test_times_are_grouped_by_the_calendar_in_utc(step: Period, names: list[str]) -> None:
    times = ["2026-11-27T23:30:00Z", "2026-11-27T23:30:00-01:00", "yesterday", 2026]
    matches = [match(str(number), taken=time) for number, time in enumerate(times)]
    groups = shown(group(matches, "taken", top_k=9, size=5, step=step))
    assert groups == list(zip(names, "01", strict=True))
    assert not has_group(matches[2], "taken", step)


@pytest.mark.parametrize("step", [0, 0.0, -1, float("nan"), float("inf")])
def test_ranges_without_a_width_are_refused(step: float) -> None:
    with pytest.raises(InvalidRequest, match="above 0"):
        SearchOptions(group_by="price", group_step=step)
