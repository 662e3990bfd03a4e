"""An automatic threshold knows what a query is made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from image_similarity.domain.queries import ImageBytes, Query, QueryPart, SearchOptions, Source, Text
from tests.support.engines import BLUE, EngineUnderTest, running_engine
from tests.support.records import record

AUTO = SearchOptions(threshold="auto")


async def fill_with_one_that_stands_out_a_little(rig: EngineUnderTest) -> None:
    """Write images whose cosines to blue are noise, and one that is 3.5 times their deviation above."""
    [blue] = rig.words.encode_texts(["blue"])
    rng = np.random.default_rng(5)
    cosines = np.append(rng.uniform(-0.1, 0.1, 200), 0.2)[:, np.newaxis]
    rest = rng.normal(size=(len(cosines), len(blue.embedding)))
    rest -= np.outer(rest @ blue.embedding, blue.embedding)
    rest *= np.sqrt(1 - cosines**2) / np.linalg.norm(rest, axis=1, keepdims=True)
    vectors = (cosines * blue.embedding + rest).astype(np.float32)
    names = [*(f"other-{number}" for number in range(200)), "apart"]
    await rig.vectors.upsert([(record(name), vector) for name, vector in zip(names, vectors, strict=True)])


async def found(rig: EngineUnderTest, query: Query) -> list[str]:
    return [match.image_id for match in (await rig.engine.search(query, AUTO)).matches]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(Text("blue"), 1)], ["apart"]),
        ([(Text("blue"), 1), (Text("a blue"), 0.5)], ["apart"]),
        ([(ImageBytes(BLUE), 1)], []),
        ([(ImageBytes(BLUE), 1), (Text("blue"), 1)], []),
    ],
    ids=["a text", "two texts", "an image", "an image and a text"],
)
async def test_an_automatic_threshold_is_lenient_if_the_query_is_texts_alone(
    tmp_path: Path, parts: list[tuple[Source, float]], expected: list[str]
) -> None:
    async with running_engine(tmp_path) as rig:
        await fill_with_one_that_stands_out_a_little(rig)
        assert await found(rig, Query(tuple(QueryPart(*part) for part in parts))) == expected


async def test_an_automatic_threshold_is_not_lenient_for_a_text_with_examples(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as rig:
        await fill_with_one_that_stands_out_a_little(rig)
        liked = Query((QueryPart(Text("blue")),), positive=(ImageBytes(BLUE),))
        assert await found(rig, liked) == []
