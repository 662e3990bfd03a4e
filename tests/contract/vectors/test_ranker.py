"""What is made of a ranking is the same on every store: automatic threshold, duplicates, groups, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pytest

from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.filters import parse_filter
from image_similarity.domain.queries import SearchOptions
from image_similarity.domain.records import Embedding, ImageRecord, Match, Metadata
from image_similarity.engine.search.ranker import MOST_CANDIDATES, Ranker, Selected
from image_similarity.vectors.base import HybridQuery, VectorStore
from image_similarity.vectors.examples import BestScore
from image_similarity.vectors.keywords import KeywordQuery
from tests.support.records import DIMENSION, record, towards

ALIKE = 0.999
"""Directions up to 2.5 degrees apart are the same picture."""


def ids(matches: Sequence[Match]) -> list[str]:
    return [match.image_id for match in matches]


async def select(
    store: VectorStore, exclude: Sequence[str] = (), *, by_texts: bool = False, **options: Any
) -> Selected:
    asked = SearchOptions(**options)
    return await Ranker(store, alike=ALIKE).of(towards(0), asked, exclude=exclude, by_texts=by_texts)


async def fill(store: VectorStore, images: dict[float, Metadata]) -> None:
    """Write images, by their angle to the query, which is also their id."""
    await store.upsert([(record(f"{angle:g}", metadata), towards(angle)) for angle, metadata in images.items()])


def elsewhere(count: int) -> list[tuple[ImageRecord, Embedding]]:
    """Images that have nothing to do with the query: their cosines to it are noise around 0."""
    rng = np.random.default_rng(5)
    cosines = rng.normal(0, 0.1, (count, 1))
    rest = rng.normal(0, 1, (count, DIMENSION - 1))
    rest *= np.sqrt(1 - cosines**2) / np.linalg.norm(rest, axis=1, keepdims=True)
    vectors = np.hstack([cosines, rest]).astype(np.float32)
    return [(record(f"other-{number}", {"far": True}), vector) for number, vector in enumerate(vectors)]


async def test_without_options_the_ranking_is_that_of_the_store(store: VectorStore) -> None:
    await fill(store, {0: {}, 20: {"a": 1}, 40: {}})
    selected = await select(store, top_k=2, threshold=0.5)
    assert selected.matches == await store.query(towards(0), top_k=2, threshold=0.5)
    assert selected.threshold == 0.5
    assert (await select(store)).threshold is None


async def test_auto_cuts_at_the_gap(store: VectorStore) -> None:
    await store.upsert(elsewhere(150))
    await fill(store, {1: {}, 8: {}, 15: {}})
    selected = await select(store, threshold="auto", top_k=50)
    assert ids(selected.matches) == ["1", "8", "15"]
    assert selected.threshold is not None
    assert selected.matches[-1].score > selected.threshold > 0.5


async def test_auto_finds_the_gap_beyond_top_k(store: VectorStore) -> None:
    await store.upsert(elsewhere(150))
    await fill(store, {1: {}, 8: {}, 15: {}})
    wide, narrow = await select(store, threshold="auto", top_k=50), await select(store, threshold="auto", top_k=1)
    assert ids(narrow.matches) == ["1"]
    assert narrow.threshold == wide.threshold


async def test_auto_leaves_nothing_where_nothing_is_apart(store: VectorStore) -> None:
    await store.upsert(elsewhere(150))
    selected = await select(store, threshold="auto")
    assert selected.matches == []
    assert selected.threshold is not None


async def test_auto_lets_in_what_stands_out_a_little_for_texts(store: VectorStore) -> None:
    await store.upsert(elsewhere(150))
    await fill(store, {72: {}})
    assert (await select(store, threshold="auto")).matches == []
    selected = await select(store, threshold="auto", by_texts=True)
    assert ids(selected.matches)[:1] == ["72"]
    assert selected.threshold is not None
    numbers = [await select(store, threshold=0.3, by_texts=by_texts) for by_texts in (False, True)]
    assert numbers[0] == numbers[1]


async def test_auto_leaves_nothing_where_nothing_is_apart_for_texts_either(store: VectorStore) -> None:
    await store.upsert(elsewhere(150))
    assert (await select(store, threshold="auto", by_texts=True)).matches == []


async def test_auto_lets_everything_in_where_there_are_too_few_images_to_tell(store: VectorStore) -> None:
    assert (await select(store, threshold="auto")).matches == []
    await fill(store, {0: {}, 80: {}})
    selected = await select(store, threshold="auto")
    assert (ids(selected.matches), selected.threshold) == (["0", "80"], None)


async def test_auto_judges_what_passes_the_filter_by_the_whole_collection(store: VectorStore) -> None:
    await store.upsert(elsewhere(150))
    await fill(store, {1: {"year": 1}, 8: {"year": 2}})
    by_year = parse_filter({"year": 2})
    assert ids((await select(store, threshold="auto", filter=by_year)).matches) == ["8"]
    assert (await select(store, threshold="auto", filter=parse_filter({"far": True}))).matches == []
    assert ids((await select(store, threshold="auto", exclude=["1"])).matches) == ["8"]


async def test_auto_goes_with_examples_too(store: VectorStore) -> None:
    await store.upsert(elsewhere(60))
    await fill(store, {1: {}, 2: {}})
    selection = Ranker(store, alike=ALIKE)
    wanted = BestScore((towards(0),), ())
    selected = await selection.of(wanted, SearchOptions(threshold="auto"), exclude=[])
    assert ids(selected.matches)[:2] == ["1", "2"]
    assert len(selected.matches) < 10


async def test_near_identical_images_are_one_result(store: VectorStore) -> None:
    await fill(store, {1: {}, 2: {}, 3: {}, 30: {}, 31: {}, 60: {}})
    selected = await select(store, collapse_duplicates=True)
    assert [(match.image_id, match.duplicates) for match in selected.matches] == [
        ("1", ("2", "3")),
        ("30", ("31",)),
        ("60", ()),
    ]
    assert all(match.duplicates == () for match in (await select(store)).matches)


async def test_top_k_counts_the_pictures_and_not_their_copies(store: VectorStore) -> None:
    copies = [(record(f"copy-{number}", content="one"), towards(1)) for number in range(150)]
    await store.upsert(copies)
    await fill(store, {40: {}, 80: {}})
    selected = await select(store, collapse_duplicates=True, top_k=2)
    assert len(selected.matches[0].duplicates) == 149
    assert ids(selected.matches)[1:] == ["40"]


async def test_groups_are_of_one_value_each_and_in_the_order_of_their_best(store: VectorStore) -> None:
    await fill(store, {1: {"kind": "b"}, 2: {"kind": "a"}, 3: {"kind": "b"}, 4: {}, 5: {"kind": "b"}, 6: {"kind": "c"}})
    selected = await select(store, group_by="kind", group_size=2, top_k=2)
    assert [(match.group, match.image_id) for match in selected.matches] == [
        ("b", "1"),
        ("b", "3"),
        ("a", "2"),
    ]
    assert selected.texts is not None
    assert orjson.loads(selected.texts[0]) == {"kind": "b"}


@pytest.mark.parametrize("value", ["x", "2024-01-01", 7, 7.5, 2**53 + 1, True, False])
async def test_fields_of_every_type_make_groups(store: VectorStore, value: object) -> None:
    await fill(store, {1: {"a": {"b": value}}, 2: {"a": {"b": [value, "other"]}}, 3: {"a": {"b": None}}, 4: {"a": 1}})
    selected = await select(store, group_by="a.b")
    assert [(match.group, match.image_id) for match in selected.matches] == [
        (value, "1"),
        (value, "2"),
        ("other", "2"),
    ]
    assert type(selected.matches[0].group) is type(value)


async def test_a_group_far_behind_a_large_one_is_found(store: VectorStore) -> None:
    crowd = [(record(f"crowd-{number}", {"kind": "crowd"}), towards(number / 100)) for number in range(300)]
    await store.upsert(crowd)
    await fill(store, {70: {"kind": "rare"}})
    selected = await select(store, group_by="kind", group_size=1, top_k=2)
    assert [match.group for match in selected.matches] == ["crowd", "rare"]


async def test_groups_are_found_though_few_images_have_the_field(store: VectorStore) -> None:
    crowd = [(record(f"crowd-{number}"), towards(number / 100)) for number in range(300)]
    await store.upsert(crowd)
    await fill(store, {70: {"kind": "rare"}, 80: {"kind": "other"}})
    counting: Any = Counting(store)
    selected = await select(counting, group_by="kind", group_size=1, top_k=2)
    assert [match.group for match in selected.matches] == ["rare", "other"]
    assert counting.asked == ["query", "query", "get_many"]


async def test_groups_come_without_metadata_where_it_is_not_wanted(store: VectorStore) -> None:
    await fill(store, {1: {"kind": "a"}})
    [match] = (await select(store, group_by="kind", with_metadata=False)).matches
    assert (match.group, match.metadata) == ("a", None)


async def test_diversity_comes_first_and_its_scores_stay_cosines(store: VectorStore) -> None:
    await fill(store, {0: {}, 1: {}, 2: {}, 20: {}, -25: {}, 60: {}})
    selected = await select(store, diversity=0.7, top_k=3)
    assert ids(selected.matches) == ["0", "60", "-25"]
    assert [match.score for match in selected.matches] == pytest.approx([1, 0.5, 0.906], abs=1e-3)
    assert ids((await select(store, diversity=0.7, top_k=3, threshold=0.8)).matches) == ["0", "-25", "20"]


async def test_diversity_needs_one_vector(store: VectorStore) -> None:
    for wanted in (BestScore((towards(0),), ()), KeywordQuery("cat"), HybridQuery(towards(0), KeywordQuery("cat"))):
        with pytest.raises(InvalidRequest, match="Diversity"):
            await Ranker(store, alike=ALIKE).of(wanted, SearchOptions(diversity=0.5), exclude=[])


async def test_what_keywords_score_has_no_automatic_threshold(store: VectorStore) -> None:
    for wanted in (KeywordQuery("cat"), HybridQuery(towards(0), KeywordQuery("cat"))):
        with pytest.raises(InvalidRequest, match="keywords"):
            await Ranker(store, alike=ALIKE).of(wanted, SearchOptions(threshold="auto"), exclude=[])


async def test_keywords_are_collapsed_and_grouped_too(store: VectorStore) -> None:
    await fill(
        store, {angle: {"description": "a red bus", "n": n} for angle, n in ((1, 1), (2, 1), (50, 2), (90, 2), (91, 3))}
    )
    options = SearchOptions(collapse_duplicates=True, group_by="n")
    selected = await Ranker(store, alike=ALIKE).of(KeywordQuery("red"), options, exclude=[])
    names = {name for match in selected.matches for name in (match.image_id, *match.duplicates)}
    assert names == {"1", "2", "50", "90", "91"}
    assert len(selected.matches) == 3


async def test_the_threshold_comes_before_duplicates_and_those_before_groups(store: VectorStore) -> None:
    await store.upsert(elsewhere(150))
    await fill(store, {1: {"kind": "a"}, 2: {"kind": "b"}, 9: {"kind": "b"}, 16: {"kind": "c"}, 17: {"kind": "c"}})
    selected = await select(
        store, threshold="auto", collapse_duplicates=True, group_by="kind", group_size=2, top_k=5, diversity=0.1
    )
    assert [(match.group, match.image_id, match.duplicates) for match in selected.matches] == [
        ("a", "1", ("2",)),
        ("b", "9", ()),
        ("c", "16", ("17",)),
    ]
    assert selected.threshold is not None


class Counting:
    """Counts the questions to a store."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self._store, name)


async def test_a_plain_search_is_one_question(store: VectorStore) -> None:
    await fill(store, {1: {}, 2: {}})
    counting: Any = Counting(store)
    await select(counting, threshold=0.1)
    assert counting.asked == ["query"]


async def test_an_automatic_threshold_asks_for_the_nearest_once(store: VectorStore) -> None:
    await store.upsert(elsewhere(150))
    await fill(store, {1: {"a": 1}, 2: {"a": 2}})
    counting: Any = Counting(store)
    selected = await select(counting, threshold="auto")
    assert sorted(counting.asked) == ["get_many", "info", "query", "sample"]
    assert selected.texts == [b'{"a":1}', b'{"a":2}']


async def test_more_matches_than_are_looked_at_for_the_gap_are_all_answered(store: VectorStore) -> None:
    await store.upsert(elsewhere(900))
    await store.upsert([(record(f"near-{number}"), towards(number / 10)) for number in range(90)])
    assert len((await select(store, threshold="auto", top_k=80)).matches) == 80
    found = await select(store, threshold="auto", top_k=200)
    assert ids(found.matches) == [f"near-{number}" for number in range(90)]


async def test_the_vectors_of_all_hits_are_one_question(store: VectorStore) -> None:
    await fill(store, {angle: {} for angle in range(0, 60, 5)})
    counting: Any = Counting(store)
    await select(counting, collapse_duplicates=True)
    assert counting.asked == ["query", "get_vectors", "get_many"]


async def test_the_search_for_groups_has_an_end(store: VectorStore) -> None:
    many = [(record(f"m-{number}", {"kind": "all"}), towards(number % 90)) for number in range(MOST_CANDIDATES + 100)]
    for start in range(0, len(many), 500):
        await store.upsert(many[start : start + 500])
    counting: Any = Counting(store)
    await select(counting, group_by="kind")
    assert counting.asked == [*["query"] * 4, "get_many"]
