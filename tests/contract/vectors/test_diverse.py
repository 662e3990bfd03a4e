"""Diverse results and the vectors of several images, on every store."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import orjson
import pytest

from image_similarity.domain.filters import parse_filter
from image_similarity.domain.queries import SearchOptions
from image_similarity.domain.records import Embedding, Match
from image_similarity.engine.search.ranker import Ranker
from image_similarity.vectors.base import VectorStore
from tests.support.records import DIMENSION, record, towards

ANGLES = (0, 1, 2, 20, -25, 60)
CANDIDATES = 100
"""Those that a few results are chosen from."""


def ids(matches: Sequence[Match]) -> list[str]:
    return [match.image_id for match in matches]


async def diverse(
    store: VectorStore, diversity: float, *, top_k: int, exclude: Sequence[str] = (), **options: object
) -> list[Match]:
    asked = SearchOptions(top_k=top_k, diversity=diversity, **options)  # type: ignore[arg-type]
    selected = await Ranker(store, alike=0.999).of(towards(0), asked, exclude=exclude)
    # Metadata comes beside the matches, as the JSON of the answer.
    texts = selected.texts if selected.texts is not None else [b"null"] * len(selected.matches)
    return [replace(match, metadata=orjson.loads(text)) for match, text in zip(selected.matches, texts, strict=True)]


@pytest.fixture
async def crowd(store: VectorStore) -> VectorStore:
    """Three images that are nearly the same, and three that are each something else."""
    await store.upsert([(record(f"at{angle}", {"angle": angle}), towards(angle)) for angle in ANGLES])
    return store


def mixture(count: int) -> dict[str, Embedding]:
    """Images in eight clusters, all of them more or less like the query."""
    rng = np.random.default_rng(3)
    centres = rng.normal(0, 1, (8, DIMENSION))
    rows = centres[rng.integers(0, 8, count)] + rng.normal(0, 0.4, (count, DIMENSION))
    rows[:, 0] = np.abs(rows[:, 0]) + 0.5
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return {f"image-{number:03}": row for number, row in enumerate(rows.astype(np.float32))}


def by_the_book(images: dict[str, Embedding], diversity: float, *, candidates: int, top_k: int) -> list[str]:
    """Choose by MMR as the paper says it, one pair of images at a time, in double precision."""

    def cosine(one: Embedding, other: Embedding) -> float:
        return math.fsum(a * b for a, b in zip(one.tolist(), other.tolist(), strict=True))

    def value(image_id: str) -> float:
        redundancy = max((cosine(images[image_id], images[other]) for other in chosen), default=0.0)
        return (1 - diversity) * cosine(images[image_id], towards(0)) - diversity * redundancy

    left = sorted(images, key=lambda image_id: -cosine(images[image_id], towards(0)))[:candidates]
    chosen: list[str] = []
    while left and len(chosen) < top_k:
        best = max(left, key=value) if chosen else left[0]
        left.remove(best)
        chosen.append(best)
    return chosen


async def test_the_choice_is_that_of_exact_mmr_and_the_same_each_time(store: VectorStore) -> None:
    images = mixture(130)
    await store.upsert([(record(name), vector) for name, vector in images.items()])
    [nearest] = await store.query(towards(0), top_k=1)

    for diversity in (0.3, 0.7, 1.0):
        found = await diverse(store, diversity, top_k=26)
        assert ids(found) == by_the_book(images, diversity, candidates=4 * 26, top_k=26)
        for match in found:
            assert match.score == pytest.approx(float(images[match.image_id][0]), abs=1e-5)
        assert await diverse(store, diversity, top_k=26) == found
        assert found[0] == nearest


async def test_with_little_diversity_the_nearest_come_first(crowd: VectorStore) -> None:
    assert ids(await diverse(crowd, 1e-9, top_k=4)) == ["at0", "at1", "at2", "at20"]


async def test_diversity_puts_what_is_new_before_what_is_more_of_the_same(crowd: VectorStore) -> None:
    assert ids(await diverse(crowd, 0.7, top_k=3)) == ["at0", "at60", "at-25"]


async def test_the_score_is_still_the_cosine_to_the_query(crowd: VectorStore) -> None:
    found = await diverse(crowd, 0.7, top_k=6)
    assert sorted(ids(found)) == sorted(f"at{angle}" for angle in ANGLES)
    for match in found:
        assert match.metadata is not None
        assert match.score == pytest.approx(math.cos(math.radians(match.metadata["angle"])), abs=1e-5)


async def test_only_the_nearest_candidates_are_chosen_from(crowd: VectorStore) -> None:
    near = [(record(f"near{number:02}"), towards(20 + number / 100)) for number in range(CANDIDATES - 5)]
    await crowd.upsert([*near, (record("opposite"), towards(180))])

    found = ids(await diverse(crowd, 1.0, top_k=20))
    assert found[:2] == ["at0", "at-25"]
    assert not {"opposite", "at60"} & set(found)


async def test_of_what_is_equally_good_the_first_id_is_chosen(store: VectorStore) -> None:
    angles = {"b": 40, "a": -40, "z": 0, "y": 0, "x": 0, "d": 70, "c": -70}
    await store.upsert([(record(name), towards(angle)) for name, angle in angles.items()])

    assert ids(await diverse(store, 0.6, top_k=7)) == ["x", "c", "d", "y", "z", "a", "b"]


async def test_threshold_filter_and_exclusion_bound_the_candidates(crowd: VectorStore) -> None:
    assert sorted(ids(await diverse(crowd, 0.7, top_k=6, threshold=0.8))) == sorted(
        f"at{angle}" for angle in ANGLES if angle != 60
    )
    kept = await diverse(crowd, 0.7, top_k=6, filter=parse_filter({"angle": {"gte": 1}}))
    assert ids(kept)[:2] == ["at1", "at60"]
    assert "at0" not in ids(await diverse(crowd, 0.7, top_k=6, exclude=["at0"]))


async def test_metadata_can_be_left_out_of_diverse_results(crowd: VectorStore) -> None:
    [first, *_] = await diverse(crowd, 0.5, top_k=2, with_metadata=False)
    assert (first.image_id, first.metadata) == ("at0", None)


async def test_an_empty_collection_has_no_diverse_results(store: VectorStore) -> None:
    assert await diverse(store, 0.5, top_k=3) == []


async def test_the_vectors_of_several_images_come_at_once(crowd: VectorStore) -> None:
    vectors = await crowd.get_vectors(["at60", "nowhere", "at1"])

    assert set(vectors) == {"at60", "at1"}
    assert all((vector.dtype, vector.shape) == (np.float32, (DIMENSION,)) for vector in vectors.values())
    np.testing.assert_allclose(vectors["at60"], towards(60), atol=1e-6)
    np.testing.assert_allclose(vectors["at1"], towards(1), atol=1e-6)
    assert await crowd.get_vectors([]) == {}
