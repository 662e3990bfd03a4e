"""The use cases: what is indexed is found. See test_engine_writes.py for what writing leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest
from uuid_utils import UUID

from image_similarity.domain.errors import DecodeTimeout, ImageNotFound, InvalidRequest, Overloaded
from image_similarity.domain.filters import parse_filter
from image_similarity.domain.image_ids import MAX_IMAGE_ID, check_image_id
from image_similarity.domain.metadata import MAX_METADATA_BYTES, MAX_METADATA_DEPTH, check_metadata
from image_similarity.domain.queries import SearchOptions
from image_similarity.engine import advice
from image_similarity.engine import search_engine as engine_module
from tests.support.encoders import WAIT
from tests.support.engines import BLUE, ORANGE, RED, TOP, EngineUnderTest, digest, found, running_engine


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineUnderTest]:
    async with running_engine(tmp_path) as rig:
        yield rig


async def test_an_indexed_image_is_found_first_with_a_score_of_one(rig: EngineUnderTest) -> None:
    for name, data in {"orange": ORANGE, "red": RED, "blue": BLUE}.items():
        result = await rig.engine.index_image(data, image_id=name, metadata={"name": name})
        assert (result.image_id, result.created, result.changed) == (name, True, True)

    found = await rig.engine.search_by_image(RED, TOP)
    assert [match.image_id for match in found.matches] == ["red", "orange", "blue"]
    assert found.matches[0].score == pytest.approx(1, abs=1e-5)
    assert found.matches[0].metadata == {"name": "red"}


async def test_the_options_of_a_search_are_obeyed(rig: EngineUnderTest) -> None:
    for name, data in {"orange": ORANGE, "red": RED, "blue": BLUE}.items():
        await rig.engine.index_image(data, image_id=name, metadata={"warm": name != "blue"})

    assert await found(rig, options=SearchOptions(top_k=1)) == ["red"]
    assert await found(rig, options=SearchOptions(threshold=0.999)) == ["red"]
    assert await found(rig, options=SearchOptions(filter=parse_filter({"warm": False}))) == ["blue"]


async def test_neighbours_of_an_indexed_image_leave_it_out(rig: EngineUnderTest) -> None:
    for name, data in {"orange": ORANGE, "red": RED}.items():
        await rig.engine.index_image(data, image_id=name)

    found = await rig.engine.search_by_id("red", TOP)
    assert [match.image_id for match in found.matches] == ["orange"]
    with pytest.raises(ImageNotFound, match='"nowhere"'):
        await rig.engine.search_by_id("nowhere", TOP)


async def test_an_image_without_an_id_gets_one_that_grows_with_time(rig: EngineUnderTest) -> None:
    first, second = [(await rig.engine.index_image(RED)).image_id for _ in range(2)]

    assert UUID(first).version == UUID(second).version == 7
    assert first < second


async def test_what_is_known_of_an_image_can_be_asked_for(rig: EngineUnderTest) -> None:
    await rig.engine.index_image(RED, image_id="red", metadata={"a": 1})
    record = await rig.engine.get_image("red")

    assert (record.image_id, record.sha256, record.metadata) == ("red", digest(RED), {"a": 1})
    assert (record.width, record.height, record.format) == (48, 40, "PNG")
    assert await rig.engine.original(record) == RED
    assert (await rig.engine.thumbnail(record))[8:12] == b"WEBP"
    with pytest.raises(ImageNotFound):
        await rig.engine.get_image("nowhere")


async def test_results_are_cached_until_the_next_write(rig: EngineUnderTest) -> None:
    await rig.engine.index_image(RED, image_id="a")
    answers = [await rig.engine.search_by_image(ORANGE, TOP) for _ in range(2)]
    assert [answer.cached for answer in answers] == [False, True]
    assert answers[0].matches == answers[1].matches
    assert answers[0].query_id != answers[1].query_id

    await rig.engine.index_image(ORANGE, image_id="b")
    assert await found(rig, ORANGE) == ["b", "a"]
    await rig.engine.delete_image("b")
    assert await found(rig, ORANGE) == ["a"]
    await rig.engine.index_image(RED, image_id="a", metadata={"v": 1})
    assert (await rig.engine.search_by_image(ORANGE, TOP)).matches[0].metadata == {"v": 1}
    assert (await rig.engine.search_by_image(ORANGE, SearchOptions(top_k=3))).cached is False


async def test_other_filters_are_other_searches(rig: EngineUnderTest) -> None:
    await rig.engine.index_image(RED, image_id="a", metadata={"v": True})

    for value, expected in ((True, ["a"]), (1, []), (1.0, []), ("True", [])):
        assert await found(rig, options=SearchOptions(filter=parse_filter({"v": value}))) == expected


async def test_identical_searches_at_once_encode_once(rig: EngineUnderTest) -> None:
    rig.encoder.hold()
    searches = [asyncio.create_task(rig.engine.search_by_image(RED, TOP)) for _ in range(5)]
    searches.append(asyncio.create_task(rig.engine.search_by_image(RED, SearchOptions(top_k=2))))
    assert await asyncio.to_thread(rig.encoder.busy.wait, WAIT)
    rig.encoder.release()
    await asyncio.gather(*searches)

    assert rig.encoder.batches == [1]
    assert rig.encoder.preprocessed == 1


async def test_an_embedding_is_computed_once_a_content(rig: EngineUnderTest) -> None:
    await rig.engine.search_by_image(RED, TOP)
    await rig.engine.index_image(RED, image_id="a")
    await rig.engine.index_image(RED, image_id="b")
    await rig.engine.search_by_image(RED, TOP)

    assert rig.encoder.batches == [1]


async def test_decoding_may_not_take_for_ever(tmp_path: Path) -> None:
    async with running_engine(tmp_path, decode_timeout=0.01) as rig:
        rig.encoder.hold_preprocessing()
        for call in (rig.engine.search_by_image(RED, TOP), rig.engine.index_image(BLUE, image_id="a")):
            with pytest.raises(DecodeTimeout, match=r"longer than 0\.01 s"):
                await call
        assert (await rig.engine.stats()).queue_depth == 0


async def test_waiting_for_a_thread_is_not_held_against_an_image(tmp_path: Path) -> None:
    async with running_engine(tmp_path, decode_timeout=0.5, decode_threads=1) as rig:
        rig.encoder.hold_preprocessing()
        slow = asyncio.create_task(rig.engine.search_by_image(RED, TOP))
        with pytest.raises(DecodeTimeout):
            await slow
        # The only thread is still at the slow image, and longer than an image's time passes.
        waiting = asyncio.create_task(rig.engine.search_by_image(BLUE, TOP))
        done, _ = await asyncio.wait({waiting}, timeout=0.7)
        assert not done
        assert (await rig.engine.stats()).queue_depth == 1
        rig.encoder.release()
        assert (await waiting).matches == ()


async def test_a_crowd_is_turned_away_before_anything_is_decoded(tmp_path: Path) -> None:
    async with running_engine(tmp_path, max_queue=1) as rig:
        rig.encoder.hold()
        first = asyncio.create_task(rig.engine.search_by_image(RED, TOP))
        assert await asyncio.to_thread(rig.encoder.busy.wait, WAIT)
        assert (await rig.engine.stats()).queue_depth == 1

        for call in (rig.engine.search_by_image(BLUE, TOP), rig.engine.index_image(BLUE, image_id="a")):
            with pytest.raises(Overloaded):
                await call
        assert rig.encoder.preprocessed == 1
        rig.encoder.release()
        await first
        assert await found(rig, BLUE) == []


class Calendar(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime(2024, 1, 1, tzinfo=tz)


async def test_browsing_has_an_order_even_where_the_clock_stands_still(
    rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "datetime", Calendar)
    for name in "abcd":
        await rig.engine.index_image(RED, image_id=name)
    await rig.engine.index_image(BLUE, image_id="b")

    first = await rig.engine.list_images(limit=3)
    second = await rig.engine.list_images(limit=3, cursor=first.next_cursor)
    records = [*first.records, *second.records]
    assert [record.image_id for record in records] == ["b", "d", "c", "a"]
    assert len({record.indexed_at for record in records}) == 4


async def test_stats_tell_the_state_in_numbers(rig: EngineUnderTest) -> None:
    await rig.engine.index_image(RED, image_id="a")
    stats = await rig.engine.stats()

    assert (stats.model.spec.name, stats.model.fallback_reason) == ("colours", None)
    assert (stats.collection.images, stats.queue_depth, stats.recommendations) == (1, 0, [])
    assert stats.cache[0].tier == "l1"


async def test_a_large_collection_without_a_graph_is_told_what_to_do(
    rig: EngineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advice, "EXACT_SEARCH_LIMIT", 0)
    await rig.engine.index_image(RED, image_id="a")

    [recommended] = (await rig.engine.stats()).recommendations
    assert "image-similarity optimize" in recommended


async def test_health_names_the_part_and_only_an_own_store_turns_ready_off(rig: EngineUnderTest) -> None:
    health, readiness = rig.engine.health, rig.engine.readiness
    await health.look()
    problems = {part: found.problem for part, found in health.findings().items()}
    assert problems == {"vector_store": None, "storage": None, "disk": None}
    (rig.folder / "thumbnails").write_text("not a folder")
    await health.look()
    assert (health.problem("storage") is not None, readiness.problems()) == (True, {})
    await rig.vectors.close()
    await health.look()

    assert "is closed" in readiness.problems()["vector_store"]


REFUSED_IDS = ("", ".", "..", "a\nb", "a\0", "\u200b", "\ud800", "x" * (MAX_IMAGE_ID + 1))
ACCEPTED_IDS = ("a/b", "...", " ", "é\U0001f408", "x" * MAX_IMAGE_ID, "%2e", "a?b#c")


@pytest.mark.parametrize("image_id", REFUSED_IDS)
def test_an_id_that_cannot_be_stored_or_written_in_a_url_is_refused(image_id: str) -> None:
    with pytest.raises(InvalidRequest, match="image_id must be"):
        check_image_id(image_id)


async def test_any_other_id_will_do(rig: EngineUnderTest) -> None:
    for image_id in ACCEPTED_IDS:
        await rig.engine.index_image(RED, image_id=image_id)
        assert (await rig.engine.get_image(image_id)).image_id == image_id


def nested(levels: int) -> dict[str, Any]:
    return {"a": nested(levels - 1)} if levels > 1 else {}


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"a": "x" * MAX_METADATA_BYTES}, f"the limit is {MAX_METADATA_BYTES}"),
        (nested(MAX_METADATA_DEPTH + 1), f"deeper than {MAX_METADATA_DEPTH}"),
        ({"a": [[nested(MAX_METADATA_DEPTH)]]}, f"deeper than {MAX_METADATA_DEPTH}"),
        (nested(500), "not JSON"),
        ({"a": object()}, "not JSON"),
        ({"a": "\ud800"}, "not JSON"),
        ({"a": 2**64}, "not JSON"),
        ({1: "a"}, "not JSON"),
    ],
)
def test_metadata_beyond_the_limits_is_refused(metadata: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        check_metadata(metadata)


async def test_what_is_refused_is_not_even_decoded(rig: EngineUnderTest) -> None:
    for refused in ({"image_id": ".."}, {"metadata": nested(MAX_METADATA_DEPTH + 1)}):
        with pytest.raises(InvalidRequest):
            await rig.engine.index_image(RED, **refused)
    assert rig.encoder.preprocessed == 0


async def test_metadata_is_kept_as_json_reads_it_back(rig: EngineUnderTest) -> None:
    given = {"t": (1, 2), "at": datetime(2024, 1, 1, tzinfo=UTC), "nan": float("nan"), "deep": nested(30)}
    await rig.engine.index_image(RED, image_id="a", metadata=given)

    kept = (await rig.engine.get_image("a")).metadata
    assert kept == {"t": [1, 2], "at": "2024-01-01T00:00:00+00:00", "nan": None, "deep": nested(30)}
    assert not (await rig.engine.index_image(RED, image_id="a", metadata=given)).changed
