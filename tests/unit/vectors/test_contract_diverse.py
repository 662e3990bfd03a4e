"""Diverse results and the vectors of several images, on every store."""

from __future__ import annotations

import math

import numpy as np
import pytest

from image_similarity.domain import Match
from image_similarity.filters import parse_filter
from image_similarity.vectors.base import VectorStore
from image_similarity.vectors.diverse import Diverse, diverse
from tests.support.records import DIMENSION, record, towards

ANGLES = (0, 1, 2, 20, -25, 60)


def ids(matches: list[Match]) -> list[str]:
    return [match.image_id for match in matches]


@pytest.fixture
async def crowd(store: VectorStore) -> VectorStore:
    """Three images that are nearly the same, and three that are each something else."""
    await store.upsert([(record(f"at{angle}", {"angle": angle}), towards(angle)) for angle in ANGLES])
    return store


async def test_without_diversity_the_nearest_come_first(crowd: VectorStore) -> None:
    wanted = diverse(towards(0), 0.0, top_k=4)
    assert ids(await crowd.query(wanted, top_k=4)) == ["at0", "at1", "at2", "at20"]
    assert ids(await crowd.query(towards(0), top_k=4)) == ["at0", "at1", "at2", "at20"]


async def test_diversity_puts_what_is_new_before_what_is_more_of_the_same(crowd: VectorStore) -> None:
    found = await crowd.query(diverse(towards(0), 0.7, top_k=3), top_k=3)
    assert ids(found) == ["at0", "at60", "at-25"]


async def test_the_score_is_still_the_cosine_to_the_query(crowd: VectorStore) -> None:
    found = await crowd.query(diverse(towards(0), 0.7, top_k=6), top_k=6)
    assert sorted(ids(found)) == sorted(f"at{angle}" for angle in ANGLES)
    for match in found:
        assert match.score == pytest.approx(math.cos(math.radians(match.metadata["angle"])), abs=1e-5)


async def test_only_the_nearest_candidates_are_chosen_from(crowd: VectorStore) -> None:
    found = await crowd.query(Diverse(towards(0), 1.0, candidates=4), top_k=3)
    assert ids(found)[:2] == ["at0", "at20"]


async def test_threshold_filter_and_exclusion_bound_the_candidates(crowd: VectorStore) -> None:
    wanted = diverse(towards(0), 0.7, top_k=3)
    assert "at60" not in ids(await crowd.query(wanted, top_k=6, threshold=0.8))
    assert len(await crowd.query(wanted, top_k=6, threshold=0.8)) == 5
    kept = await crowd.query(wanted, top_k=6, condition=parse_filter({"angle": {"gte": 1}}))
    assert ids(kept)[:2] == ["at1", "at60"]
    assert "at0" not in ids(await crowd.query(wanted, top_k=6, exclude=["at0"]))


async def test_metadata_can_be_left_out_of_diverse_results(crowd: VectorStore) -> None:
    [first, *_] = await crowd.query(diverse(towards(0), 0.5, top_k=2), top_k=2, with_metadata=False)
    assert (first.image_id, first.metadata) == ("at0", None)


async def test_the_vectors_of_several_images_come_at_once(crowd: VectorStore) -> None:
    vectors = await crowd.get_vectors(["at60", "nowhere", "at1"])

    assert set(vectors) == {"at60", "at1"}
    assert all((vector.dtype, vector.shape) == (np.float32, (DIMENSION,)) for vector in vectors.values())
    np.testing.assert_allclose(vectors["at60"], towards(60), atol=1e-6)
    np.testing.assert_allclose(vectors["at1"], towards(1), atol=1e-6)
    assert await crowd.get_vectors([]) == {}
