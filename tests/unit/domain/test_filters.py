"""The filter language: what each sentence means, and what is said of one that has no meaning."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_similarity.domain.errors import InvalidFilter
from image_similarity.domain.filters import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_FIELD_NAME,
    MAX_FIELD_STEPS,
    MAX_FIELDS,
    AllOf,
    AnyOf,
    Condition,
    Exists,
    InRange,
    Not,
    OneOf,
    parse_filter,
    read_time,
)
from tests.support.conditions import holds


def at(*numbers: int) -> datetime:
    return datetime(*numbers, tzinfo=UTC)


@pytest.mark.parametrize(
    ("raw", "condition"),
    [
        ({"a": "x"}, AnyOf("a", ("x",))),
        ({"a": ""}, AnyOf("a", ("",))),
        ({"a": 1}, AnyOf("a", (1,))),
        ({"a": 1.5}, AnyOf("a", (1.5,))),
        ({"a": False}, AnyOf("a", (False,))),
        ({"a": None}, Not(Exists("a"))),
        ({"a": ["x", 1, True]}, AnyOf("a", ("x", 1, True))),
        ({"a": {"eq": "x"}}, AnyOf("a", ("x",))),
        ({"a": {"eq": None}}, Not(Exists("a"))),
        ({"a": {"ne": "x"}}, Not(AnyOf("a", ("x",)))),
        ({"a": {"ne": None}}, Not(Not(Exists("a")))),
        ({"a": {"in": ["x", "y"]}}, AnyOf("a", ("x", "y"))),
        ({"a": {"not_in": ["x", "y"]}}, Not(AnyOf("a", ("x", "y")))),
        ({"a": {"exists": True}}, Exists("a")),
        ({"a": {"exists": False}}, Not(Exists("a"))),
        ({"a": {"gt": 1}}, InRange("a", gt=1.0)),
        ({"a": {"gte": 1, "lt": 2}}, InRange("a", gte=1.0, lt=2.0)),
        ({"a": {"lte": -0.5}}, InRange("a", lte=-0.5)),
        ({"a": {"gt": "2024-05-01T12:00:00Z"}}, InRange("a", gt=at(2024, 5, 1, 12))),
        ({"a": {"gt": "2024-05-01T12:00:00+02:00"}}, InRange("a", gt=at(2024, 5, 1, 10))),
        ({"a": {"lte": "2024-05-01"}}, InRange("a", lte=at(2024, 5, 1))),
        ({"a.b.c": 1}, AnyOf("a.b.c", (1,))),
        ({"é ü[0]": 1}, AnyOf("é ü[0]", (1,))),
        ({"a": 1, "b": 2}, AllOf((AnyOf("a", (1,)), AnyOf("b", (2,))))),
        ({"a": {"gt": 1, "ne": 5}}, AllOf((InRange("a", gt=1.0), Not(AnyOf("a", (5,)))))),
        ({"and": [{"a": 1}, {"b": 2}]}, AllOf((AnyOf("a", (1,)), AnyOf("b", (2,))))),
        ({"or": [{"a": 1}, {"b": 2}]}, OneOf((AnyOf("a", (1,)), AnyOf("b", (2,))))),
        ({"or": [{"a": 1}]}, AnyOf("a", (1,))),
        ({"not": {"a": 1, "b": 2}}, Not(AllOf((AnyOf("a", (1,)), AnyOf("b", (2,)))))),
    ],
)
def test_each_sentence_has_its_condition(raw: object, condition: Condition) -> None:
    assert parse_filter(raw) == condition


def test_one_and_true_stay_different() -> None:
    assert repr(parse_filter({"a": [1, 1.0, True]})) == repr(AnyOf("a", (1, 1.0, True)))


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ("cat", ["'cat'", "JSON object"]),
        ([], ["[]", "JSON object"]),
        (None, ["None"]),
        ({}, ["empty"]),
        ({"a": {}}, ['"a"', "empty", "gte"]),
        ({"a": {"model": "X100"}}, ['"a"', '"model"', "dot", "exists"]),
        ({"a": []}, ['"a"', "[]", "non-empty list"]),
        ({"a": {"in": "x"}}, ['"a"', "'x'", "list"]),
        ({"a": {"not_in": []}}, ['"a"', "[]", "list"]),
        ({"a": [{"x": 1}]}, ['"a"', "{'x': 1}", "string, number or boolean"]),
        ({"a": ["x", None]}, ['"a"', "None"]),
        ({"a": {"eq": ["x"]}}, ['"a"', "['x']"]),
        ({"a": float("nan")}, ['"a"', "nan", "finite"]),
        ({"a": float("-inf")}, ['"a"', "-inf"]),
        ({"a": 10**400}, ['"a"', "finite"]),
        ({"a": 10**5000}, ['"a"', "finite"]),
        ({"a": {"gt": True}}, ['"gt"', '"a"', "True", "number or an RFC 3339 time"]),
        ({"a": {"lt": None}}, ['"lt"', '"a"', "None"]),
        ({"a": {"gte": "yesterday"}}, ['"gte"', '"a"', "yesterday"]),
        ({"a": {"gte": float("inf")}}, ['"gte"', '"a"', "inf"]),
        ({"a": {"gte": 10**5000}}, ['"gte"', '"a"']),
        ({"a": {"gte": "0001-01-01T00:00:00+01:00"}}, ['"gte"', '"a"', "0001-01-01"]),
        ({"a": {"gte": 1, "lt": "2024-01-01"}}, ['"a"', "mixes numbers and times"]),
        ({"a": {"exists": 1}}, ['"exists"', '"a"', "1", "true or false"]),
        ({"and": {"a": 1}}, ['"and"', "{'a': 1}", "non-empty list"]),
        ({"or": []}, ['"or"', "[]"]),
        ({"or": [{"a": 1}, "b"]}, ["'b'", "JSON object"]),
        ({"not": [{"a": 1}]}, ["[{'a': 1}]"]),
        ({"": 1}, ["''", "field name"]),
        ({"a..b": 1}, ["a..b"]),
        ({".a": 1}, ["'.a'"]),
        ({'a"b': 1}, ['a"b', "quotes"]),
        ({"a\\b": 1}, ["field name"]),
        ({"\ud800": 1}, ["ud800", "field name"]),
        ({"a": "\udfff"}, ['"a"', "udfff"]),
        ({"a": "x" * 100 + "\ud800", "b": 1}, ['"a"']),
    ],
)
def test_an_error_names_the_offending_part_and_what_would_be_accepted(raw: object, named: list[str]) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse_filter(raw)

    assert [part for part in named if part not in str(caught.value)] == []
    assert len(str(caught.value)) < 400


def test_and_or_not_may_be_nested_up_to_the_limit_only() -> None:
    def nested(levels: int) -> dict[str, Any]:
        return {"not": nested(levels - 1)} if levels else {"a": 1}

    parse_filter(nested(MAX_DEPTH))
    with pytest.raises(InvalidFilter, match=f"{MAX_DEPTH} levels"):
        parse_filter(nested(MAX_DEPTH + 1))


def test_any_depth_of_nonsense_is_refused_without_exhausting_the_stack() -> None:
    deep: object = 1
    for _ in range(5000):
        deep = [deep]

    for raw in (deep, {"a": deep}, {"a": {"gt": deep}}, {"and": deep}):
        with pytest.raises(InvalidFilter):
            parse_filter(raw)


@pytest.mark.parametrize(
    "raw",
    [
        {"a": ["x"] * (MAX_CONDITIONS + 1)},
        {"or": [{"a": 1}] * (MAX_CONDITIONS + 1)},
        {"and": [{"a": {"gt": 1, "ne": 2, "exists": True}}] * (MAX_CONDITIONS // 3 + 1)},
    ],
)
def test_conditions_are_counted_wherever_they_stand(raw: dict[str, Any]) -> None:
    with pytest.raises(InvalidFilter, match=f"more than {MAX_CONDITIONS} conditions"):
        parse_filter(raw)


def test_the_limit_itself_is_allowed() -> None:
    parse_filter({"or": [{"a": 1}] * MAX_CONDITIONS})
    parse_filter({"or": [{f"f{number}": number} for number in range(MAX_FIELDS)] * 2})
    parse_filter({".".join(["a"] * MAX_FIELD_STEPS): 1, "x" * MAX_FIELD_NAME: 1})


@pytest.mark.parametrize(
    "raw",
    [
        {f"f{number}": number for number in range(MAX_FIELDS + 1)},
        {"or": [{"not": {f"f{number}": None}} for number in range(MAX_FIELDS + 1)]},
        {".".join(["a"] * (MAX_FIELD_STEPS + 1)): 1},
        {"x" * (MAX_FIELD_NAME + 1): 1},
        {".".join(["a"] * 1_000_000): 1},
    ],
)
def test_fields_their_steps_and_their_characters_are_counted(raw: dict[str, Any]) -> None:
    with pytest.raises(InvalidFilter, match=f"{MAX_FIELDS} fields|{MAX_FIELD_NAME} characters.*{MAX_FIELD_STEPS}"):
        parse_filter(raw)


def test_a_long_operator_is_not_repeated_whole() -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse_filter({"a": {"x" * 100_000: 1}})
    assert len(str(caught.value)) < 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
WORDS = ("a", "b.c", "and", "or", "not", "eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "exists")
filter_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(datetime.isoformat),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
)


@given(json_values | filter_like)
def test_any_json_is_read_or_refused_and_nothing_else(raw: object) -> None:
    try:
        condition = parse_filter(raw)
    except InvalidFilter:
        return
    assert isinstance(condition, AllOf | AnyOf | Exists | InRange | Not | OneOf)
    assert holds(condition, {}) in (True, False)


TOM = {"species": "cat", "year": 2003, "tags": ["indoor", 7], "camera": {"model": "X100"}, "owner": None, "toys": []}


@pytest.mark.parametrize(
    "raw",
    [
        {"species": "cat"},
        {"species": ["dog", "cat"]},
        {"species": {"ne": "dog"}},
        {"year": {"gte": 2003, "lt": 2010}},
        {"year": 2003.0},
        {"tags": "indoor", "camera.model": "X100"},
        {"owner": None, "toys": None, "nowhere": None},
        {"camera.model": {"exists": True}, "camera.lens": {"exists": False}},
        {"or": [{"species": "dog"}, {"not": {"species": "dog"}}]},
    ],
)
def test_the_language_says_what_its_description_promises(raw: dict[str, Any]) -> None:
    assert holds(parse_filter(raw), TOM)
    assert not holds(parse_filter({"not": raw}), TOM)


@pytest.mark.parametrize(
    "text", ["", "today", "2024-13-01", "12:00", "2024-01-01T25:00:00Z", "9999-12-31T23:00:00-02:00"]
)
def test_other_texts_are_no_times(text: str) -> None:
    assert read_time(text) is None


def test_a_time_is_read_in_utc_and_without_a_zone_counts_as_utc() -> None:
    assert read_time("2024-02-29T23:59:59.123456-01:00") == at(2024, 3, 1, 0, 59, 59, 123456)
    assert read_time("2024-02-29T10:00:00") == at(2024, 2, 29, 10)
