"""What every vector store finds by words: in the description and the tags of an image, and nowhere else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from image_similarity.domain.filters import parse_filter
from image_similarity.domain.records import Match, Metadata
from image_similarity.vectors.base import HybridQuery, VectorStore
from image_similarity.vectors.keywords import KeywordQuery
from tests.support.records import read, record, towards

GARDEN: dict[str, Metadata] = {
    "sunflower": {"description": "A field of sunflowers under a blue sky", "kind": "plant"},
    "dogs": {"description": "Two dogs running in the sun", "tags": ["animal", "golden retriever"], "kind": "animal"},
    "bus": {"tags": ["red", "double-decker bus"], "kind": "vehicle"},
    "car": {"description": "A red car at the bus stop, seen from far away on a grey morning", "kind": "vehicle"},
    "kafer": {"description": "Ein grüner KÄFER auf der Straße", "kind": "animal"},
    "dog-zh": {"description": "小狗在草地上奔跑", "kind": "animal"},
    "tokyo": {"description": "東京タワーの夜景", "tags": ["ライオン"]},
    "seoul": {"description": "강아지가 공원에서 놀고 있다"},
    "nothing": {"title": "sunflower dog bus"},
}


@pytest.fixture
async def garden(store: VectorStore) -> VectorStore:
    """Every image in a direction of its own, ten degrees from the next."""
    await store.upsert(
        [(record(name, metadata), towards(10 * place)) for place, (name, metadata) in enumerate(GARDEN.items())]
    )
    return store


async def found(store: VectorStore, text: str, **options: Any) -> list[str]:
    return ids(await store.query(KeywordQuery(text), **{"top_k": 10, **options}))


def ids(matches: list[Match]) -> list[str]:
    return [match.image_id for match in matches]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sunflowers", ["sunflower"]),
        ("blue sky", ["sunflower"]),
        ("golden", ["dogs"]),
        ("retriever golden", ["dogs"]),
        ("double-decker", ["bus"]),
        ("decker", ["bus"]),
        ("SUNFLOWERS", ["sunflower"]),
    ],
)
async def test_words_of_descriptions_and_tags_are_found(garden: VectorStore, text: str, expected: list[str]) -> None:
    assert await found(garden, text) == expected


async def test_what_has_every_word_comes_before_what_has_one(garden: VectorStore) -> None:
    assert await found(garden, "red bus") == ["bus", "car"]
    matches = await garden.query(KeywordQuery("red bus"), top_k=10)
    assert matches[0].score > matches[1].score > 0


async def test_a_word_finds_its_other_forms(garden: VectorStore) -> None:
    for form in ("dog", "dogs", "Dog's", "runs", "run"):
        assert await found(garden, form) == ["dogs"], form


async def test_a_word_is_found_while_it_is_typed_and_whole_words_come_first(garden: VectorStore) -> None:
    assert await found(garden, "sun") == ["dogs", "sunflower"]
    for typed in ("su", "sunf", "sunflowe"):
        assert "sunflower" in await found(garden, typed), typed
    assert await found(garden, "flower") == []


@pytest.mark.parametrize("text", ["käfer", "kafer", "KÄFER", "ka\u0308fer", "strasse", "straße", "grun"])
async def test_accents_and_capitals_do_not_matter(garden: VectorStore, text: str) -> None:
    assert await found(garden, text) == ["kafer"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("小狗", "dog-zh"),
        ("草地", "dog-zh"),
        ("東京", "tokyo"),
        ("夜景", "tokyo"),
        ("ライオン", "tokyo"),
        ("강아지", "seoul"),
    ],
)
async def test_languages_without_spaces_are_searched(garden: VectorStore, text: str, expected: str) -> None:
    assert await found(garden, text) == [expected]


@pytest.mark.parametrize("text", ["", "   ", "the", "and in a", "zebra", "!?", "\x00", "x" * 5000])
async def test_what_nobody_wrote_finds_nothing(garden: VectorStore, text: str) -> None:
    assert await found(garden, text) == []


async def test_common_words_do_not_count(garden: VectorStore) -> None:
    await garden.upsert([(record("stage", {"tags": ["theater curtain", "only onions"]}), towards(200))])

    assert await found(garden, "the dogs on a") == ["dogs"]
    # "The" begins "theater" all the same, where it is what one is typing.
    assert await found(garden, "dogs the") == ["dogs", "stage"]


async def test_words_before_the_last_one_are_whole(garden: VectorStore) -> None:
    for text in ("doub sunfl", "doub\tsunfl\n", "doub (sunfl.)"):
        assert await found(garden, text) == ["sunflower"], text
    assert await found(garden, "sunflowers doub") == ["sunflower", "bus"]
    assert await found(garden, "sunflowers doub .") == ["sunflower"]


async def test_filters_limits_and_exclusions_hold(garden: VectorStore) -> None:
    assert await found(garden, "red bus", top_k=1) == ["bus"]
    assert await found(garden, "red bus", exclude=["bus"]) == ["car"]
    assert await found(garden, "sun red", condition=parse_filter({"kind": "animal"})) == ["dogs"]
    best = (await garden.query(KeywordQuery("red bus"), top_k=10))[0].score
    assert await found(garden, "red bus", threshold=best - 0.01) == ["bus"]


async def test_hits_say_what_a_page_needs(garden: VectorStore) -> None:
    [match] = await garden.query(KeywordQuery("retriever"), top_k=10)
    assert (match.sha256, match.width, match.metadata) == (record("dogs").sha256, 640, GARDEN["dogs"])
    [match] = await garden.query(KeywordQuery("retriever"), top_k=10, with_metadata=False)
    assert match.metadata is None


async def test_changed_metadata_is_found_by_its_new_words_alone(garden: VectorStore) -> None:
    await garden.set_metadata(await read(garden, "bus"), {"description": "a yellow taxi"})
    assert await found(garden, "taxi") == ["bus"]
    assert await found(garden, "decker") == []

    await garden.set_metadata(await read(garden, "bus"), {})
    assert await found(garden, "taxi") == []


async def test_overwritten_and_deleted_images_are_not_found(garden: VectorStore) -> None:
    await garden.upsert([(record("dogs", {"description": "a cat"}), towards(0))])
    await garden.delete("sunflower")

    assert await found(garden, "dog") == []
    assert await found(garden, "sunflower") == []
    assert await found(garden, "cat") == ["dogs"]


@pytest.mark.parametrize(
    "metadata",
    [
        {"description": 7, "tags": None},
        {"description": None, "tags": [1, True, None, {"a": "sun"}, ["sun"]]},
        {"description": {"sun": "sun"}, "tags": {"sun": "sun"}},
        {"description": "\x00 👍", "tags": []},
    ],
)
async def test_metadata_that_is_no_text_does_no_harm(store: VectorStore, metadata: Metadata) -> None:
    await store.upsert([(record("a", metadata), towards(0)), (record("b", {"tags": "sun"}), towards(0))])

    assert await found(store, "sun") == ["b"]


async def test_hybrid_search_finds_what_is_near_and_what_is_named(garden: VectorStore) -> None:
    # Straight at the dogs, by the words of the car, which are not far from each other.
    matches = await garden.query(HybridQuery(towards(10), KeywordQuery("car")), top_k=4)

    assert ids(matches)[:2] == ["car", "dogs"]
    assert all(0 < match.score <= 2 / 60 for match in matches)
    assert [match.score for match in matches] == sorted((match.score for match in matches), reverse=True)


async def test_what_both_rankings_have_wins(garden: VectorStore) -> None:
    [best, *_] = await garden.query(HybridQuery(towards(33), KeywordQuery("red")), top_k=5)
    assert best.image_id == "car"


async def test_hybrid_search_without_a_word_that_is_known_is_a_search_by_vector(garden: VectorStore) -> None:
    near = ids(await garden.query(towards(25), top_k=5))
    assert ids(await garden.query(HybridQuery(towards(25), KeywordQuery("zebra")), top_k=5)) == near


async def test_filters_limits_and_exclusions_hold_in_hybrid_search(garden: VectorStore) -> None:
    animals = parse_filter({"kind": "animal"})
    matches = await garden.query(
        HybridQuery(towards(0), KeywordQuery("red bus")), top_k=10, condition=animals, exclude=["dogs"]
    )
    assert sorted(ids(matches)) == ["dog-zh", "kafer"]
    assert len(await garden.query(HybridQuery(towards(0), KeywordQuery("red")), top_k=2)) == 2


async def test_there_is_nothing_to_bring_up_to_date_in_what_this_version_wrote(garden: VectorStore) -> None:
    assert await garden.backfill() == 0


async def test_many_searches_and_writes_at_once(store: VectorStore) -> None:
    async def one(number: int) -> list[str]:
        await store.upsert([(record(f"{number}", {"tags": [f"tag{number}x"]}), towards(number))])
        return await found(store, f"tag{number}x")

    assert await asyncio.gather(*(one(number) for number in range(10))) == [[f"{number}"] for number in range(10)]
