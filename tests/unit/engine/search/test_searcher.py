"""Queries of several parts: images, indexed images and texts, with weights."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from image_similarity.domain.errors import ImageNotFound, InvalidRequest, UnsupportedFormat, UrlUnreachable
from image_similarity.domain.queries import (
    MAX_PARTS,
    Example,
    ImageBytes,
    ImageUrl,
    IndexedImage,
    Query,
    QueryPart,
    SearchOptions,
    Source,
    Strategy,
    Text,
)
from image_similarity.engine.embedding.texts import MAX_TEXT
from tests.support.engines import BLUE, ORANGE, RED, TOP, EngineUnderTest, picture, running_engine
from tests.support.web_server import ok, web_server

GREEN = picture(0, 250, 0)


def half_red_half_blue() -> bytes:
    image = Image.new("RGB", (48, 40), (250, 0, 0))
    image.paste((0, 0, 250), (24, 0, 48, 40))
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineUnderTest]:
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


async def ids(rig: EngineUnderTest, wanted: Query, options: SearchOptions = TOP) -> list[str]:
    return [match.image_id for match in (await rig.engine.search(wanted, options)).matches]


async def test_a_text_finds_what_it_describes(rig: EngineUnderTest) -> None:
    result = await rig.engine.search_by_text("  Blue ", TOP)
    assert result.matches[0].image_id == "blue"
    assert result.matches[0].score == pytest.approx(1, abs=1e-5)
    assert not result.truncated


async def test_the_answer_says_that_a_text_was_cut_also_from_the_cache(rig: EngineUnderTest) -> None:
    for cached in (False, True):
        result = await rig.engine.search_by_text("a picture all in blue", TOP)
        assert (result.truncated, result.cached) == (True, cached)
    assert (await rig.engine.search_by_text("all in blue", TOP)).truncated is False


async def test_a_text_is_encoded_once(rig: EngineUnderTest) -> None:
    for top_k in (1, 2, 3):
        await rig.engine.search_by_text("a picture all in blue", SearchOptions(top_k=top_k))
    assert rig.words.batches == [["a picture all in blue"]]


@pytest.mark.parametrize("text", ["", "  ", "x" * (MAX_TEXT + 1)])
async def test_a_text_that_is_empty_or_endless_is_refused(rig: EngineUnderTest, text: str) -> None:
    with pytest.raises(InvalidRequest, match=f"1 to {MAX_TEXT} characters"):
        await rig.engine.search_by_text(text, TOP)


async def test_half_a_character_is_refused(rig: EngineUnderTest) -> None:
    with pytest.raises(InvalidRequest, match="half a character"):
        await rig.engine.search_by_text("blue \udc80", TOP)


async def test_red_and_blue_together_find_what_has_both(rig: EngineUnderTest) -> None:
    assert (await ids(rig, query((ImageBytes(RED), 1), (Text("blue"), 1))))[0] == "both"
    assert (await ids(rig, query((ImageBytes(RED), 1), (Text("blue"), 0.1))))[0] == "red"


async def test_a_negative_weight_leads_away(rig: EngineUnderTest) -> None:
    towards = await ids(rig, query((Text("orange"), 1)))
    away = await ids(rig, query((Text("orange"), 1), (Text("red"), -0.8)))
    assert towards.index("green") > towards.index("red")
    assert away.index("green") < away.index("red")


async def test_indexed_images_of_a_query_are_not_among_its_results(rig: EngineUnderTest) -> None:
    found = await ids(rig, query((IndexedImage("red"), 1), (IndexedImage("green"), -0.3)))
    assert set(found) == {"orange", "blue", "both"}
    with pytest.raises(ImageNotFound, match='"nowhere"'):
        await ids(rig, query((IndexedImage("red"), 1), (IndexedImage("nowhere"), 1)))


async def test_other_weights_and_other_kinds_of_source_are_other_searches(rig: EngineUnderTest) -> None:
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


async def test_parts_that_cancel_each_other_out_are_refused(rig: EngineUnderTest) -> None:
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


Examples = Sequence[Example]


async def liked(
    rig: EngineUnderTest, strategy: Strategy, positive: Examples = (), negative: Examples = ()
) -> list[str]:
    return await ids(rig, Query(positive=tuple(positive), negative=tuple(negative), strategy=strategy))


@pytest.mark.parametrize("strategy", Strategy)
async def test_examples_need_no_query(rig: EngineUnderTest, strategy: Strategy) -> None:
    assert (await liked(rig, strategy, [ImageBytes(RED)]))[0] == "red"
    found = await liked(rig, strategy, [IndexedImage("red"), IndexedImage("orange")], [IndexedImage("blue")])
    # Those that are named are left out, liked or not.
    assert set(found) == {"green", "both"}


@pytest.mark.parametrize("strategy", Strategy)
async def test_a_bad_example_moves_its_like_away(rig: EngineUnderTest, strategy: Strategy) -> None:
    async def lead_of_orange_over_red(*negative: Example) -> float:
        wanted = Query((QueryPart(Text("orange")),), negative=negative, strategy=strategy)
        scores = {hit.image_id: hit.score for hit in (await rig.engine.search(wanted, TOP)).matches}
        return scores["orange"] - scores["red"]

    assert await lead_of_orange_over_red(ImageBytes(RED)) > await lead_of_orange_over_red() + 0.01


@pytest.mark.parametrize("strategy", [Strategy.BEST_SCORE, Strategy.SUM_SCORES])
async def test_bad_examples_alone_do_for_some_strategies(rig: EngineUnderTest, strategy: Strategy) -> None:
    assert (await liked(rig, strategy, [], [ImageBytes(RED)]))[-1] == "red"


@pytest.mark.parametrize("strategy", [Strategy.AVERAGE, Strategy.RELEVANCE_FEEDBACK])
def test_and_not_for_others(strategy: Strategy) -> None:
    with pytest.raises(InvalidRequest, match="choose best_score or sum_scores"):
        Query(negative=(IndexedImage("a"),), strategy=strategy)


def test_examples_have_their_limits() -> None:
    with pytest.raises(InvalidRequest, match="either positive or negative"):
        Query(positive=(IndexedImage("a"),), negative=(IndexedImage("b"), IndexedImage("a")))
    with pytest.raises(InvalidRequest, match="up to 32 positive"):
        Query(positive=tuple(IndexedImage(str(number)) for number in range(33)))
    with pytest.raises(InvalidRequest, match="up to 8 URLs"):
        Query(positive=tuple(ImageUrl(f"http://example.org/{number}") for number in range(9)))


async def test_an_unknown_example_is_not_found(rig: EngineUnderTest) -> None:
    with pytest.raises(ImageNotFound, match='"nowhere"'):
        await liked(rig, Strategy.AVERAGE, [IndexedImage("red")], [IndexedImage("nowhere")])


async def test_other_examples_and_strategies_are_other_searches(rig: EngineUnderTest) -> None:
    one, two = IndexedImage("red"), IndexedImage("blue")
    wanted = [
        Query(positive=(one,), negative=(two,)),
        Query(positive=(two,), negative=(one,)),
        Query(positive=(one, two)),
        Query((QueryPart(one),), positive=(two,)),
        Query((QueryPart(one), QueryPart(two))),
        *(Query(positive=(one,), negative=(two,), strategy=strategy) for strategy in list(Strategy)[1:]),
    ]
    for each in wanted:
        assert (await rig.engine.search(each, TOP)).cached is False
        assert (await rig.engine.search(each, TOP)).cached is True


async def test_an_image_may_be_where_a_url_says(rig: EngineUnderTest) -> None:
    async with web_server() as web:
        web.answers |= {"/red.png": ok(RED), "/blue.png": ok(BLUE)}
        red, blue = ImageUrl(web.url("/red.png")), ImageUrl(web.url("/blue.png"))
        assert (await ids(rig, query((red, 1))))[0] == "red"
        assert (await ids(rig, query((red, 1), (blue, 1))))[0] == "both"
        assert (await ids(rig, Query(positive=(red, red), negative=(blue,))))[0] == "red"
        assert sorted(path for path, _ in web.requests) == ["/blue.png"] * 2 + ["/red.png"] * 3


async def test_another_image_at_the_same_url_is_another_search(rig: EngineUnderTest) -> None:
    async with web_server() as web:
        wanted = query((ImageUrl(web.url("/latest.png")), 1))
        web.answers["/latest.png"] = ok(RED)
        assert (await ids(rig, wanted))[0] == "red"
        web.answers["/latest.png"] = ok(BLUE)
        assert (await ids(rig, wanted))[0] == "blue"


async def test_what_is_no_image_is_found_out_by_decoding(rig: EngineUnderTest) -> None:
    async with web_server() as web:
        web.answers["/cat.png"] = ok(b"<html>a cat</html>", "Content-Type: image/png")
        with pytest.raises(UnsupportedFormat):
            await ids(rig, query((ImageUrl(web.url("/cat.png")), 1)))


async def test_where_one_url_fails_the_others_are_given_up(rig: EngineUnderTest) -> None:
    async with web_server() as web:
        web.answers["/slow.png"] = web.drip
        with pytest.raises(UrlUnreachable, match="404"):
            await ids(rig, query((ImageUrl(web.url("/slow.png")), 1), (ImageUrl(web.url("/nowhere.png")), 1)))
        await asyncio.wait_for(web.hung_up.wait(), 30)
