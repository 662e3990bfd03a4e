"""Hits of a calibrated model say how likely they are right."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from image_similarity.domain.queries import ImageBytes, IndexedImage, Query, QueryPart, Text
from image_similarity.engine.search.calibration import Calibration, QueryKind
from tests.support.engines import BLUE, ORANGE, RED, TOP, EngineUnderTest, running_engine

CURVE = Calibration(slope=10.0, intercept=-8.0)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineUnderTest]:
    async with running_engine(tmp_path, calibrations={QueryKind.IMAGE: CURVE}) as rig:
        for name, data in {"red": RED, "orange": ORANGE, "blue": BLUE}.items():
            await rig.engine.index_image(data, image_id=name)
        yield rig


async def test_each_hit_has_the_probability_of_its_score_also_from_the_cache(rig: EngineUnderTest) -> None:
    for cached in (False, True):
        result = await rig.engine.search_by_image(RED, TOP)
        assert result.cached is cached
        said = [match.confidence for match in result.matches]
        assert said == pytest.approx(list(CURVE.apply([match.score for match in result.matches])))
        assert said == sorted(said, reverse=True)
        assert said[0] == pytest.approx(1 / (1 + 2.718281828 ** (8 - 10)), abs=1e-4)


async def test_an_indexed_image_is_an_image_too(rig: EngineUnderTest) -> None:
    matches = (await rig.engine.search_by_id("red", TOP)).matches
    assert all(match.confidence is not None for match in matches)


@pytest.mark.parametrize(
    "query",
    [
        Query.of(Text("red")),
        Query((QueryPart(ImageBytes(RED)), QueryPart(Text("blue"), 0.5))),
        Query((QueryPart(ImageBytes(RED)), QueryPart(IndexedImage("blue"), -0.5))),
        Query((QueryPart(ImageBytes(RED)),), negative=(IndexedImage("blue"),)),
        Query(positive=(IndexedImage("blue"),)),
    ],
    ids=["text-without-calibration", "image-and-text", "not-like-another", "with-an-example", "examples-alone"],
)
async def test_what_was_not_calibrated_has_no_confidence(rig: EngineUnderTest, query: Query) -> None:
    matches = (await rig.engine.search(query, TOP)).matches
    assert matches
    assert {match.confidence for match in matches} == {None}


async def test_without_a_calibration_there_is_no_confidence(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as rig:
        await rig.engine.index_image(RED, image_id="red")
        (match,) = (await rig.engine.search_by_image(RED, TOP)).matches
        assert match.confidence is None
