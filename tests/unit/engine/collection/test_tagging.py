"""What taggers fill, what they leave alone, and how what they filled is known again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from image_similarity.domain.errors import EncodingFailed, ImageNotFound, Overloaded
from image_similarity.domain.metadata import MAX_METADATA_BYTES
from image_similarity.domain.records import ImageRecord, Metadata, Tagging
from image_similarity.engine.collection.tagging import MetadataTagger, caller_metadata
from image_similarity.tagging.base import NoTagger
from image_similarity.telemetry.metrics import Metrics
from image_similarity.vectors.keywords import KeywordQuery
from tests.support.engines import BLUE, RED, EngineUnderTest, picture, running_engine
from tests.support.taggers import ColourTagger

GREY = picture(128, 128, 128)
RED_TAGS = Tagging("colours", ("tags",), {"red": 0.9})


@pytest.fixture
def quick() -> ColourTagger:
    return ColourTagger()


@pytest.fixture
def slow() -> ColourTagger:
    return ColourTagger(quick=False, name="slow")


@pytest.fixture
async def rig(tmp_path: Path, quick: ColourTagger) -> AsyncIterator[EngineUnderTest]:
    async with running_engine(tmp_path, tagger=quick) as running:
        yield running


@pytest.fixture
async def patient(tmp_path: Path, slow: ColourTagger) -> AsyncIterator[EngineUnderTest]:
    async with running_engine(tmp_path, tagger=slow) as running:
        yield running


async def index(rig: EngineUnderTest, data: bytes, metadata: Metadata | None = None) -> tuple[bool, bool]:
    """Index an image as "a", and tell whether that changed anything and whether a tagger has still to see it."""
    result = await rig.engine.index_image(data, image_id="a", metadata=metadata)
    return result.changed, result.untagged


async def record(rig: EngineUnderTest) -> ImageRecord:
    return await rig.engine.get_image("a")


async def found(rig: EngineUnderTest, text: str) -> list[str]:
    return [match.image_id for match in await rig.vectors.query(KeywordQuery(text), top_k=5)]


async def test_what_the_caller_leaves_out_is_filled_and_found(rig: EngineUnderTest) -> None:
    assert await index(rig, RED, {"year": 2024}) == (True, False)

    assert (await record(rig)).metadata == {"year": 2024, "tags": ["red"]}
    assert (await record(rig)).tagging == RED_TAGS
    assert await found(rig, "red") == ["a"]


@pytest.mark.parametrize("tags", [["mine"], [], None, "mine"])
async def test_what_the_caller_says_stays(rig: EngineUnderTest, quick: ColourTagger, tags: object) -> None:
    await index(rig, RED, {"tags": tags})

    assert (await record(rig)).metadata == {"tags": tags}
    assert (await record(rig)).tagging is None
    assert quick.asked == 0


async def test_the_same_image_and_metadata_again_change_nothing(rig: EngineUnderTest, quick: ColourTagger) -> None:
    await index(rig, RED, {"year": 2024})
    before = await record(rig)

    assert await index(rig, RED, {"year": 2024}) == (False, False)
    assert await record(rig) == before
    assert quick.asked == 1


async def test_a_tagger_that_found_nothing_is_not_asked_again(rig: EngineUnderTest, quick: ColourTagger) -> None:
    await index(rig, GREY)
    assert ((await record(rig)).metadata, (await record(rig)).tagging) == ({}, Tagging("colours", ()))

    assert await index(rig, GREY) == (False, False)
    assert quick.asked == 1


async def test_a_crowd_before_the_tagger_is_turned_away(quick: ColourTagger) -> None:
    filler = MetadataTagger(quick, Metrics(), max_queue=2)
    quick.may_go.clear()
    pixels = np.zeros((8, 8, 3), np.uint8)
    waiting = [asyncio.create_task(filler.find(pixels)) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(Overloaded, match="2 images"):
        await filler.find(pixels)
    quick.may_go.set()
    await asyncio.gather(*waiting)
    await filler.find(pixels)
    filler.close()


async def test_other_metadata_for_the_same_bytes_keeps_what_was_filled(
    rig: EngineUnderTest, quick: ColourTagger
) -> None:
    await index(rig, RED, {"year": 2024})
    assert await index(rig, RED, {"year": 2025}) == (True, False)

    assert (await record(rig)).metadata == {"year": 2025, "tags": ["red"]}
    assert (await record(rig)).tagging == RED_TAGS
    assert quick.asked == 1


async def test_other_bytes_are_looked_at_anew(rig: EngineUnderTest) -> None:
    await index(rig, RED)
    await index(rig, BLUE)

    assert (await record(rig)).metadata == {"tags": ["blue"]}
    assert await found(rig, "red") == []


async def test_images_from_before_the_tagger_are_tagged_when_indexed_again(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as without:
        await index(without, RED, {"year": 2024})
        assert (await record(without)).tagging is None
    async with running_engine(tmp_path, tagger=ColourTagger()) as rig:
        assert await index(rig, RED, {"year": 2024}) == (True, False)
        assert (await record(rig)).tagging == RED_TAGS
    async with running_engine(tmp_path) as without:
        assert await index(without, RED, {"year": 2024}) == (False, False)
        assert (await record(without)).metadata == {"year": 2024, "tags": ["red"]}


async def test_another_tagger_takes_the_place_of_the_first(tmp_path: Path) -> None:
    async with running_engine(tmp_path, tagger=ColourTagger(name="first")) as first:
        await index(first, RED)
    async with running_engine(tmp_path, tagger=ColourTagger(quick=False, name="second")) as second:
        assert await index(second, RED) == (False, True)
        assert await second.engine.tag_image("a")
        assert (await record(second)).metadata == {"description": "a red picture"}
        assert (await record(second)).tagging == Tagging("second", ("description",))


async def test_a_users_tags_win_and_stay(rig: EngineUnderTest) -> None:
    await index(rig, RED, {"year": 2024})

    patched = await rig.engine.patch_metadata("a", {"tags": ["mine"]})
    assert patched == await record(rig)
    assert patched.metadata == {"year": 2024, "tags": ["mine"]}
    assert patched.tagging == Tagging("colours", ())
    assert await found(rig, "red") == []


async def test_tags_that_a_user_removes_do_not_come_back(rig: EngineUnderTest) -> None:
    await index(rig, RED)
    await rig.engine.patch_metadata("a", {"tags": None})

    assert await index(rig, RED) == (False, False)
    assert (await record(rig)).metadata == {}


async def test_a_patch_of_something_else_leaves_the_tags_the_taggers(rig: EngineUnderTest) -> None:
    await index(rig, RED)
    patched = await rig.engine.patch_metadata("a", {"owner": "kim"})

    assert (patched.metadata, patched.tagging) == ({"tags": ["red"], "owner": "kim"}, RED_TAGS)
    assert await index(rig, RED, {"owner": "kim"}) == (False, False)


async def test_confirming_the_taggers_tags_makes_them_the_users(rig: EngineUnderTest) -> None:
    await index(rig, RED)
    await rig.engine.patch_metadata("a", {"tags": ["red"]})

    assert (await record(rig)).tagging == Tagging("colours", ())
    assert await index(rig, RED, {"tags": ["red"]}) == (False, False)


async def test_a_deleted_image_comes_back_with_its_tags(rig: EngineUnderTest) -> None:
    await index(rig, RED)
    before = await record(rig)
    await rig.engine.delete_image("a", undo_seconds=60)
    await rig.engine.restore_image("a")

    assert await record(rig) == before
    assert await found(rig, "red") == ["a"]


async def test_metadata_that_is_full_is_left_as_it_is(rig: EngineUnderTest) -> None:
    full = {"text": "x" * (MAX_METADATA_BYTES - 20)}
    await index(rig, RED, full)

    assert (await record(rig)).metadata == full
    assert (await record(rig)).tagging == Tagging("colours", ())


async def test_a_slow_tagger_looks_later(patient: EngineUnderTest, slow: ColourTagger) -> None:
    assert await index(patient, RED, {"year": 2024}) == (True, True)
    assert (await record(patient)).tagging is None
    assert slow.asked == 0
    assert await index(patient, RED, {"year": 2024}) == (False, True)

    assert await patient.engine.tag_image("a")
    assert (await record(patient)).metadata == {"year": 2024, "description": "a red picture"}
    assert (await record(patient)).tagging == Tagging("slow", ("description",))
    assert await found(patient, "picture") == ["a"]
    assert await index(patient, RED, {"year": 2024}) == (False, False)
    assert not await patient.engine.tag_image("a")
    assert slow.asked == 1


async def test_whoever_describes_the_image_first_wins(patient: EngineUnderTest, slow: ColourTagger) -> None:
    await index(patient, RED)
    slow.may_go.clear()
    tagging = asyncio.create_task(patient.engine.tag_image("a"))
    await asyncio.to_thread(slow.began.wait, 30)
    await patient.engine.patch_metadata("a", {"description": "mine", "owner": "kim"})
    slow.may_go.set()

    assert not await tagging
    assert (await record(patient)).metadata == {"description": "mine", "owner": "kim"}


async def test_what_else_is_patched_meanwhile_stays(patient: EngineUnderTest, slow: ColourTagger) -> None:
    await index(patient, RED)
    slow.may_go.clear()
    tagging = asyncio.create_task(patient.engine.tag_image("a"))
    await asyncio.to_thread(slow.began.wait, 30)
    await patient.engine.patch_metadata("a", {"owner": "kim"})
    slow.may_go.set()

    assert await tagging
    assert (await record(patient)).metadata == {"owner": "kim", "description": "a red picture"}


async def test_an_image_replaced_meanwhile_is_not_described_by_what_it_was(
    patient: EngineUnderTest, slow: ColourTagger
) -> None:
    await index(patient, RED)
    slow.may_go.clear()
    tagging = asyncio.create_task(patient.engine.tag_image("a"))
    await asyncio.to_thread(slow.began.wait, 30)
    await index(patient, BLUE)
    slow.may_go.set()

    assert not await tagging
    assert (await record(patient)).tagging is None


async def test_searches_go_on_while_the_tagger_thinks(patient: EngineUnderTest, slow: ColourTagger) -> None:
    await index(patient, RED)
    slow.may_go.clear()
    tagging = asyncio.create_task(patient.engine.tag_image("a"))
    await asyncio.to_thread(slow.began.wait, 30)
    async with asyncio.timeout(10):
        assert (await patient.engine.get_image("a")).image_id == "a"
        await patient.engine.index_image(BLUE, image_id="b")
    slow.may_go.set()
    assert await tagging


async def test_a_tagger_that_fails_says_so_and_changes_nothing(patient: EngineUnderTest, slow: ColourTagger) -> None:
    await index(patient, RED)
    slow.broken = True
    with pytest.raises(EncodingFailed):
        await patient.engine.tag_image("a")
    assert (await record(patient)).tagging is None
    with pytest.raises(ImageNotFound):
        await patient.engine.tag_image("nowhere")


async def test_without_a_tagger_nothing_is_filled_and_nothing_lacks(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as rig:
        assert await index(rig, RED) == (True, False)
        assert (await record(rig)).metadata == {}
        assert not await rig.engine.tag_image("a")
        filler = MetadataTagger(NoTagger(), rig.engine.metrics)
        assert not filler.lacks({}, None)
        filler.close()


async def test_what_is_the_callers_own_is_told_apart(rig: EngineUnderTest) -> None:
    await index(rig, RED, {"year": 2024})
    assert caller_metadata(await record(rig)) == {"year": 2024}
