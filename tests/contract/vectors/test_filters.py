"""What a store finds under a filter: what `tests.support.conditions` says, which reads the conditions word by word."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from image_similarity.domain.filters import parse_filter
from image_similarity.domain.records import Metadata
from image_similarity.vectors.base import VectorStore
from tests.support.conditions import holds, random_filter, random_metadata
from tests.support.records import record, towards

ANIMALS: dict[str, Metadata] = {
    "tom": {"species": "cat", "year": 2003, "weight": 4.5, "indoor": True, "tags": ["grey", "old", 7, False]},
    "rex": {"species": "dog", "year": 2010, "weight": 30, "indoor": False, "owner": None, "tags": []},
    "kit": {"species": "cat", "year": 2010.0, "indoor": 1, "owner": "Ann", "tags": [["grey"]]},
    "bo": {"species": ["cat", "dog"], "year": "2010", "camera": {"model": "X100", "flash": True}},
    "old": {"seen": "2024-05-01T12:00:00Z", "species": "cat é ü", "year": [1999, 2003]},
    "new": {"seen": "2024-05-01T12:30:00.5+00:00", "camera": {"model": None}, "owner": "null"},
    "zone": {"seen": "2024-05-01T12:15:00+02:00", "camera": "X100", "id": 2**53 + 1},
    "days": {"seen": ["2020-01-01", "2030-01-01"], "id": 2**53, "camera.model": "X100", "a.flag": True},
    "none": {},
}


async def found(store: VectorStore, raw: dict[str, Any], *, top_k: int = 1000) -> set[str]:
    return {match.image_id for match in await store.query(towards(0), top_k=top_k, condition=parse_filter(raw))}


@pytest.fixture
async def animals(store: VectorStore) -> VectorStore:
    await store.upsert([(record(name, metadata), towards(0)) for name, metadata in ANIMALS.items()])
    return store


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"species": "cat"}, "tom kit bo"),
        ({"species": "cat é ü"}, "old"),
        ({"species": ["dog", "cat é ü"]}, "rex bo old"),
        ({"species": {"ne": "cat"}}, "rex old new zone days none"),
        ({"species": {"not_in": ["cat", "dog"]}}, "old new zone days none"),
        ({"year": 2010}, "rex kit"),
        ({"year": 2010.0}, "rex kit"),
        ({"year": "2010"}, "bo"),
        ({"year": [2003, "2010"]}, "tom bo old"),
        ({"year": {"gte": 2003}}, "tom rex kit old"),
        ({"year": {"gt": 2003, "lt": 2010.5}}, "rex kit"),
        ({"year": {"gt": 1999, "lt": 2003}}, ""),
        ({"weight": {"lte": 4.5}}, "tom"),
        ({"weight": 30.0}, "rex"),
        ({"id": 2**53}, "days"),
        ({"id": 2**53 + 1}, "zone"),
        ({"indoor": True}, "tom"),
        ({"indoor": False}, "rex"),
        ({"indoor": 1}, "kit"),
        ({"indoor": {"ne": True}}, "rex kit bo old new zone days none"),
        ({"indoor": [False, 1]}, "rex kit"),
        ({"tags": "grey"}, "tom"),
        ({"tags": 7}, "tom"),
        ({"tags": False}, "tom"),
        ({"tags": None}, "rex bo old new zone days none"),
        ({"tags": {"exists": True}}, "tom kit"),
        ({"owner": None}, "tom rex bo old zone days none"),
        ({"owner": "null"}, "new"),
        ({"owner": {"exists": True}}, "kit new"),
        ({"owner": {"ne": None}}, "kit new"),
        ({"camera.model": "X100"}, "bo"),
        ({"camera.flash": True}, "bo"),
        ({"a.flag": True}, ""),
        ({"camera": "X100"}, "zone"),
        ({"camera": {"exists": True}}, "bo new zone"),
        ({"camera.model": {"exists": True}}, "bo"),
        ({"seen": {"gte": "2024-05-01T12:00:00Z"}}, "old new days"),
        ({"seen": {"gt": "2024-05-01T12:00:00Z", "lte": "2024-05-01T12:30:00.5Z"}}, "new"),
        ({"seen": {"lt": "2024-05-01T14:00:00+02:00"}}, "zone days"),
        ({"seen": {"gt": "2024-01-01", "lt": "2025-01-01"}}, "old new zone"),
        ({"seen": "2024-05-01T12:00:00Z"}, "old"),
        ({"year": {"gt": "2000-01-01"}}, ""),
        ({"seen": {"gt": 0}}, ""),
        ({"and": [{"species": "cat"}, {"year": 2010}]}, "kit"),
        ({"or": [{"species": "dog"}, {"year": 2003}]}, "tom rex bo old"),
        ({"not": {"or": [{"species": "cat"}, {"seen": {"exists": True}}]}}, "rex none"),
        ({"not": {"species": "cat", "year": 2010}}, "tom rex bo old new zone days none"),
        ({"nowhere": 1}, ""),
        ({"nowhere": {"ne": 1}}, "tom rex kit bo old new zone days none"),
    ],
)
async def test_each_kind_of_condition(animals: VectorStore, raw: dict[str, Any], expected: str) -> None:
    assert await found(animals, raw) == set(expected.split())
    # The words of the language agree, and so does the store once it has made indexes for the fields.
    assert {name for name, metadata in ANIMALS.items() if holds(parse_filter(raw), metadata)} == set(expected.split())
    assert await found(animals, raw) == set(expected.split())


async def test_numbers_and_times_of_one_field_do_not_disturb_each_other(store: VectorStore) -> None:
    """Edge 0.9 answers from an index of the other type where it can, and wrongly; this once came through."""
    values = {"number": 3, "time": "2024-01-01T00:00:00Z", "both": [3, "2024-01-01T00:00:00Z"], "text": "3"}
    await store.upsert([(record(name, {"v": value}), towards(0)) for name, value in values.items()])

    for _ in range(2):
        assert await found(store, {"v": {"gt": "2000-01-01"}}) == {"time", "both"}
        assert await found(store, {"v": {"gt": 2}}) == {"number", "both"}
        assert await found(store, {"v": 3}) == {"number", "both"}
        assert await found(store, {"v": {"gt": 2}, "and": [{"v": {"lt": "2030-01-01"}}]}) == {"both"}
        assert await found(store, {"v": "3"}) == {"text"}


async def test_filter_threshold_exclusion_and_top_k_work_together(store: VectorStore) -> None:
    await store.upsert(
        [(record(f"at-{angle}", {"even": angle % 20 == 0}), towards(angle)) for angle in range(0, 90, 10)]
    )

    matches = await store.query(
        towards(0), top_k=2, threshold=0.5, condition=parse_filter({"even": True}), exclude=["at-0"]
    )
    assert [match.image_id for match in matches] == ["at-20", "at-40"]


async def test_a_filter_sees_what_was_overwritten(store: VectorStore) -> None:
    for value in ("x", 1, True, "2024-01-01", None):
        await store.upsert([(record("a", {"v": value}), towards(0))])
        for other in ("x", 1, True):
            assert bool(await found(store, {"v": other})) == (value is other)
        assert bool(await found(store, {"v": {"gt": "2000-01-01"}})) == (value == "2024-01-01")


@pytest.mark.parametrize("seed", range(6))
async def test_any_filter_finds_what_its_words_say(store: VectorStore, seed: int) -> None:
    random = Random(seed)
    images = {f"{number}": random_metadata(random) for number in range(60)}
    await store.upsert([(record(image_id, metadata), towards(0)) for image_id, metadata in images.items()])

    for _ in range(80):
        raw = random_filter(random)
        condition = parse_filter(raw)
        expected = {image_id for image_id, metadata in images.items() if holds(condition, metadata)}
        assert await found(store, raw) == expected, raw
