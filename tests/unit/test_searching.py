"""Queries of several parts: images, indexed images and texts, with weights."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_similarity.domain import ImageNotFound, InvalidRequest, TextSearchUnavailable
from image_similarity.queries import (
    MAX_PARTS,
    ImageBytes,
    IndexedImage,
    Query,
    QueryPart,
    SearchOptions,
    Source,
    Text,
)
from image_similarity.searching import combine
from image_similarity.texts import MAX_TEXT, TextEmbedder
from tests.support.engines import BLUE, ORANGE, RED, TOP, Rig, picture, running_engine

GREEN = picture(0, 250, 0)


def half_red_half_blue() -> bytes:
    image = Image.new("RGB", (48, 40), (250, 0, 0))
    image.paste((0, 0, 250), (24, 0, 48, 40))
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with running_engine(tmp_path) as rig:
        for name, data in {
            "orange": ORANGE,
            "red": RED,
            "blue": BLUE,
            "green": GREEN,
            "both": half_red_half_blue(),
        }.items():
            await rig.engine.index_image(data, image_id=name)
        yield rig


def query(*parts: tuple[Source, float]) -> Query:
    return Query(tuple(QueryPart(*part) for part in parts))


async def ids(rig: Rig, wanted: Query, options: SearchOptions = TOP) -> list[str]:
    return [match.image_id for match in (await rig.engine.search(wanted, options)).matches]


async def test_a_text_finds_what_it_describes(rig: Rig) -> None:
    result = await rig.engine.search_by_text("  Blue ", TOP)
    assert result.matches[0].image_id == "blue"
    assert result.matches[0].score == pytest.approx(1, abs=1e-5)
    assert not result.truncated


async def test_the_answer_says_that_a_text_was_cut_also_from_the_cache(rig: Rig) -> None:
    for cached in (False, True):
        result = await rig.engine.search_by_text("a picture all in blue", TOP)
        assert (result.truncated, result.cached) == (True, cached)
    assert (await rig.engine.search_by_text("all in blue", TOP)).truncated is False


async def test_a_text_is_encoded_once(rig: Rig) -> None:
    for top_k in (1, 2, 3):
        await rig.engine.search_by_text("a picture all in blue", SearchOptions(top_k=top_k))
    assert rig.words.batches == [["a picture all in blue"]]


@pytest.mark.parametrize("text", ["", "  ", "x" * (MAX_TEXT + 1)])
async def test_a_text_that_is_empty_or_endless_is_refused(rig: Rig, text: str) -> None:
    with pytest.raises(InvalidRequest, match=f"1 to {MAX_TEXT} characters"):
        await rig.engine.search_by_text(text, TOP)


async def test_half_a_character_is_refused(rig: Rig) -> None:
    with pytest.raises(InvalidRequest, match="half a character"):
        await rig.engine.search_by_text("blue \udc80", TOP)


async def test_without_a_text_tower_texts_are_refused(rig: Rig) -> None:
    texts = TextEmbedder(None, rig.cache, rig.engine.metrics, batch_size=8, max_queue=1)
    with pytest.raises(TextSearchUnavailable, match="MODEL_NAME"):
        await texts.embed("blue")


async def test_red_and_blue_together_find_what_has_both(rig: Rig) -> None:
    assert (await ids(rig, query((ImageBytes(RED), 1), (Text("blue"), 1))))[0] == "both"
    assert (await ids(rig, query((ImageBytes(RED), 1), (Text("blue"), 0.1))))[0] == "red"


async def test_a_negative_weight_leads_away(rig: Rig) -> None:
    towards = await ids(rig, query((Text("orange"), 1)))
    away = await ids(rig, query((Text("orange"), 1), (Text("red"), -0.8)))
    assert towards.index("green") > towards.index("red")
    assert away.index("green") < away.index("red")


async def test_indexed_images_of_a_query_are_not_among_its_results(rig: Rig) -> None:
    found = await ids(rig, query((IndexedImage("red"), 1), (IndexedImage("green"), -0.3)))
    assert set(found) == {"orange", "blue", "both"}
    with pytest.raises(ImageNotFound, match='"nowhere"'):
        await ids(rig, query((IndexedImage("red"), 1), (IndexedImage("nowhere"), 1)))


async def test_other_weights_and_other_kinds_of_source_are_other_searches(rig: Rig) -> None:
    await rig.engine.index_image(RED, image_id="blue-text")
    for wanted in (
        query((Text("blue"), 1)),
        query((IndexedImage("blue"), 1)),
        query((Text("blue"), 1), (Text("red"), 1)),
        query((Text("blue"), 1), (Text("red"), -1)),
        query((Text("red"), 1), (Text("blue"), 1)),
    ):
        assert (await rig.engine.search(wanted, TOP)).cached is False
        assert (await rig.engine.search(wanted, TOP)).cached is True


async def test_parts_that_cancel_each_other_out_are_refused(rig: Rig) -> None:
    with pytest.raises(InvalidRequest, match="cancel each other out"):
        await ids(rig, query((Text("red"), 1), (Text("red"), -1)))


@pytest.mark.parametrize(
    ("weights", "complaint"),
    [
        ([], "1 to 16 parts"),
        ([1.0] * (MAX_PARTS + 1), "1 to 16 parts"),
        ([0.0], "not 0"),
        ([10.5], "up to 10"),
        ([math.nan], "not 0"),
        ([-1.0, -0.5], "positive weight"),
    ],
)
def test_a_query_that_asks_for_nothing_is_refused(weights: list[float], complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint):
        Query(tuple(QueryPart(Text("red"), weight) for weight in weights))


def test_the_sum_is_weighted_and_of_length_one() -> None:
    east, north = np.eye(2, dtype=np.float32)
    combined = combine([east, north], [3, 4])
    assert combined.dtype == np.float32
    assert combined.tolist() == pytest.approx([0.6, 0.8])
    assert combine([east], [0.25]) is east
