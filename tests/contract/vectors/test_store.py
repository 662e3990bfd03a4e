"""What every vector store does: writing, searching, browsing, deleting. See test_filters.py for filters."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from image_similarity.domain.errors import InvalidCursor
from image_similarity.domain.records import ImageRecord, Match
from image_similarity.vectors.base import Batch, CollectionInfo, VectorStore
from image_similarity.vectors.qdrant_server import store as server
from tests.support.records import DIMENSION, record, towards


def ids(matches: list[Match]) -> list[str]:
    return [match.image_id for match in matches]


async def browse(store: VectorStore, limit: int) -> list[str]:
    """List the whole collection page by page."""
    listed: list[str] = []
    page = await store.scroll(limit=limit)
    listed += [one.image_id for one in page.records]
    while page.next_cursor is not None:
        page = await store.scroll(limit=limit, cursor=page.next_cursor)
        assert 0 < len(page.records) <= limit
        assert len(listed) < 100, "the pages never end"
        listed += [one.image_id for one in page.records]
    return listed


@pytest.fixture
async def fan(store: VectorStore) -> VectorStore:
    """Five images at 0, 20, 40, 60, 80 degrees, written in another order."""
    angles = (60, 0, 80, 20, 40)
    await store.upsert([(record(f"at-{angle}", {"angle": angle}), towards(angle)) for angle in angles])
    return store


async def test_a_record_comes_back_as_it_was_written(store: VectorStore) -> None:
    written = record("holiday/é ü \U0001f408.jpg", {"a": {"b": [1, 2.0, None, True, "x"]}, "": {}, "c.d": "2024-01-01"})
    await store.upsert([(written, towards(30))])

    found = await store.get(written.image_id)
    assert found == written
    # Python holds 1, 1.0 and True for equal. The order of keys is no part of a JSON object: gRPC shuffles it.
    assert json.dumps(found.metadata, sort_keys=True) == json.dumps(written.metadata, sort_keys=True)


async def test_the_time_keeps_its_microseconds(store: VectorStore) -> None:
    written = replace(record("a"), indexed_at=record("a").indexed_at.replace(microsecond=123456))
    await store.upsert([(written, towards(0))])

    assert await store.get("a") == written


async def test_a_vector_comes_back_as_it_was_written(store: VectorStore) -> None:
    await store.upsert([(record("a"), towards(33))])

    vector = await store.get_vector("a")
    assert vector is not None
    assert vector.dtype == np.float32
    assert vector.shape == (DIMENSION,)
    np.testing.assert_allclose(vector, towards(33), atol=1e-6)


async def test_the_same_id_overwrites(store: VectorStore) -> None:
    await store.upsert([(record("a", {"v": 1, "old": True}, content="first"), towards(0))])
    second = record("a", {"v": 2}, content="second")
    await store.upsert([(second, towards(90))])

    assert await store.get("a") == second
    assert (await store.info()).images == 1
    [match] = await store.query(towards(90), top_k=5)
    assert (match.score, match.metadata) == (pytest.approx(1), {"v": 2})


async def test_unknown_ids_are_none(store: VectorStore) -> None:
    assert await store.get("nowhere") is None
    assert await store.get_vector("nowhere") is None
    assert await store.delete("nowhere") is None


async def test_an_empty_collection_answers_everything(store: VectorStore) -> None:
    assert await store.query(towards(0), top_k=3) == []
    assert (await store.scroll(limit=3)).records == ()
    assert await store.count_content("0" * 64) == 0


async def test_the_nearest_come_first_with_their_cosine(fan: VectorStore) -> None:
    matches = await fan.query(towards(0), top_k=10)

    assert ids(matches) == ["at-0", "at-20", "at-40", "at-60", "at-80"]
    expected = [math.cos(math.radians(angle)) for angle in (0, 20, 40, 60, 80)]
    assert [match.score for match in matches] == pytest.approx(expected, abs=1e-5)
    assert all(-1 <= match.score <= 1 for match in matches)


async def test_top_k_is_the_most_that_comes(fan: VectorStore) -> None:
    assert ids(await fan.query(towards(80), top_k=2)) == ["at-80", "at-60"]


async def test_the_threshold_cuts_off_what_is_less_alike(fan: VectorStore) -> None:
    assert ids(await fan.query(towards(0), top_k=10, threshold=0.7)) == ["at-0", "at-20", "at-40"]
    assert await fan.query(towards(180), top_k=10, threshold=0.7) == []


@pytest.mark.parametrize("angle", [0, 20, 40, 60, 80])
async def test_the_threshold_itself_is_alike_enough(fan: VectorStore, angle: int) -> None:
    assert ids(await fan.query(towards(angle), top_k=10, threshold=1)) == [f"at-{angle}"]
    assert f"at-{angle}" in ids(await fan.query(towards(angle + 180), top_k=10, threshold=-1))


async def test_the_excluded_image_leaves_its_place_to_the_next(fan: VectorStore) -> None:
    assert ids(await fan.query(towards(0), top_k=2, exclude=["at-0"])) == ["at-20", "at-40"]
    assert ids(await fan.query(towards(0), top_k=1, exclude=["nowhere"])) == ["at-0"]
    assert ids(await fan.query(towards(0), top_k=2, exclude=["at-20", "at-0"])) == ["at-40", "at-60"]


async def test_metadata_comes_only_where_it_is_wanted(fan: VectorStore) -> None:
    [with_it] = await fan.query(towards(20), top_k=1)
    [without] = await fan.query(towards(20), top_k=1, with_metadata=False)

    assert with_it.metadata == {"angle": 20}
    assert without.metadata is None


async def test_a_match_tells_what_a_page_needs_to_show_it(fan: VectorStore) -> None:
    for with_metadata in (True, False):
        [match] = await fan.query(towards(20), top_k=1, with_metadata=with_metadata)
        assert (match.sha256, match.width, match.height) == (record("at-20").sha256, 640, 480)


async def test_a_query_may_ask_for_one_field_of_the_metadata(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = {"it's": {"a b": [1, True, 2**53 + 1]}, "else": "x" * 100}
    await store.upsert([(record("deep", deep), towards(0)), (record("none", {"else": 1}), towards(10))])
    await store.upsert([(record(f"{angle}", {"it's": {"a b": angle}}), towards(angle)) for angle in range(20, 70, 10)])
    wanted = [{"it's": {"a b": [1, True, 2**53 + 1]}}, *({"it's": {"a b": angle}} for angle in range(20, 70, 10))]
    # One question, and where there are more candidates than that several.
    for at_once in (256, 3):
        monkeypatch.setattr(server, "FIELDS_AT_ONCE", at_once)
        found = await store.query(towards(0), top_k=10, field="it's.a b")
        assert [hit.metadata for hit in found if hit.image_id != "none"] == wanted
        assert [match.image_id for match in found][:3] == ["deep", "none", "20"]
        assert not (found[1].metadata or {}).get("it's")
    assert found[0].sha256 == record("deep").sha256


async def test_a_sample_is_of_the_images_that_an_export_names_first(fan: VectorStore) -> None:
    exported = (await fan.export(after=None, limit=3)).points
    sample = await fan.sample(3)
    assert [vector.tolist() for vector in sample] == [vector.tolist() for _, vector in exported]


async def test_browsing_is_newest_first_whatever_the_order_of_writing(store: VectorStore) -> None:
    await store.upsert([(record(f"minute-{minute}", minute=minute), towards(0)) for minute in (2, 0, 4, 1, 3)])

    newest_first = [f"minute-{minute}" for minute in (4, 3, 2, 1, 0)]
    for limit in (1, 2, 3, 5, 100):
        assert await browse(store, limit) == newest_first
    assert (await store.scroll(limit=5)).next_cursor is None


async def test_images_of_the_very_same_time_are_each_listed_once(store: VectorStore) -> None:
    same = [f"same-{number}" for number in range(7)]
    await store.upsert([(record("newer", minute=2), towards(0)), (record("older", minute=0), towards(0))])
    await store.upsert([(record(image_id, minute=1), towards(0)) for image_id in same])

    for limit in (1, 2, 3, 4, 8):
        listed = await browse(store, limit)
        assert (listed[0], listed[-1]) == ("newer", "older")
        assert sorted(listed[1:-1]) == same


async def test_what_changes_between_two_pages_repeats_and_skips_nothing(store: VectorStore) -> None:
    await store.upsert([(record(f"minute-{minute}", minute=minute), towards(0)) for minute in range(6)])
    first = await store.scroll(limit=2)

    await store.upsert([(record("new", minute=9), towards(0)), (record("minute-4", minute=10), towards(0))])
    await store.delete("minute-3")
    await store.delete("minute-5")
    second = await store.scroll(limit=2, cursor=first.next_cursor)
    third = await store.scroll(limit=2, cursor=second.next_cursor)

    listed = [one.image_id for page in (first, second, third) for one in page.records]
    assert listed == ["minute-5", "minute-4", "minute-2", "minute-1", "minute-0"]
    assert third.next_cursor is None


async def test_a_page_may_start_behind_a_deleted_tie(store: VectorStore) -> None:
    await store.upsert([(record(name, minute=1), towards(0)) for name in "abc"])
    first = await store.scroll(limit=1)
    await store.delete(first.records[0].image_id)

    second = await store.scroll(limit=5, cursor=first.next_cursor)
    assert {one.image_id for one in (*first.records, *second.records)} == set("abc")


@pytest.mark.parametrize("cursor", ["", "x", "bm9wZQ", "WzEsMl0", "é"])
async def test_a_cursor_of_someone_else_is_refused(store: VectorStore, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        await store.scroll(limit=1, cursor=cursor)


async def test_deleting_returns_the_record_and_hides_it_everywhere(fan: VectorStore) -> None:
    deleted = await fan.delete("at-20")

    assert deleted == record("at-20", {"angle": 20})
    assert await fan.get("at-20") is None
    assert await fan.get_vector("at-20") is None
    assert await fan.delete("at-20") is None
    assert "at-20" not in ids(await fan.query(towards(20), top_k=10))
    assert "at-20" not in await browse(fan, 2)
    assert (await fan.info()).images == 4


async def test_content_is_counted_over_all_ids(store: VectorStore) -> None:
    one, two, other = record("a", content="x"), record("b", content="x"), record("c", content="y")
    await store.upsert([(each, towards(0)) for each in (one, two, other)])

    assert await store.count_content(one.sha256) == 2
    await store.delete("a")
    assert await store.count_content(one.sha256) == 1
    await store.upsert([(replace(two, sha256=other.sha256), towards(0))])
    assert await store.count_content(one.sha256) == 0
    assert await store.count_content(other.sha256) == 2


async def test_info_tells_what_the_collection_is(fan: VectorStore) -> None:
    info = await fan.info()

    assert info.name.startswith("photos")
    assert info == CollectionInfo(info.name, "colours", DIMENSION, images=5, indexed_vectors=0, field_indexes=())


async def test_checking_a_store_that_serves_says_nothing(store: VectorStore) -> None:
    await store.check()


async def test_many_records_are_read_at_once(fan: VectorStore) -> None:
    found = await fan.get_many(["at-80", "nowhere", "at-0"])

    assert found == {"at-0": record("at-0", {"angle": 0}), "at-80": record("at-80", {"angle": 80})}
    assert await fan.get_many([]) == {}


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
async def test_everything_is_exported_once_with_its_vector(fan: VectorStore, limit: int) -> None:
    exported: dict[str, float] = {}
    after: str | None = None
    while True:
        batch = await fan.export(after=after, limit=limit)
        assert len(batch.points) <= limit
        for one, vector in batch.points:
            assert one == record(one.image_id, {"angle": one.metadata["angle"]})
            assert vector.dtype == np.float32
            assert one.image_id not in exported
            exported[one.image_id] = math.degrees(math.atan2(vector[1], vector[0]))
        after = batch.after
        if after is None:
            break

    assert exported == {f"at-{angle}": pytest.approx(angle, abs=1e-3) for angle in (0, 20, 40, 60, 80)}


async def test_nothing_is_exported_from_an_empty_collection(store: VectorStore) -> None:
    assert await store.export(after=None, limit=10) == Batch([], after=None)


async def test_many_writes_and_searches_at_once(store: VectorStore) -> None:
    async def one(number: int) -> ImageRecord | None:
        await store.upsert([(record(f"{number}", {"n": number}), towards(number))])
        return await store.get(f"{number}")

    found = await asyncio.gather(*(one(number) for number in range(20)))
    assert [one.metadata["n"] for one in found if one] == list(range(20))
