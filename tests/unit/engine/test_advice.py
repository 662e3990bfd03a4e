"""What an operator is told to do."""

from __future__ import annotations

from dataclasses import replace

from image_similarity.engine.advice import EXACT_SEARCH_LIMIT, recommend
from image_similarity.vectors.base import CollectionInfo
from image_similarity.vectors.placement import PlacementSummary

FINE = PlacementSummary(
    nodes=3,
    silent_nodes=0,
    shards=3,
    copies_wanted=6,
    copies_active=6,
    shards_short=0,
    shards_over=0,
    shards_on_one_node=0,
)
ON_A_SERVER = CollectionInfo("photos", "mini", 4, EXACT_SEARCH_LIMIT + 1, 0, (), builds_graph=True, placement=FINE)


def test_what_is_well_needs_no_advice() -> None:
    assert recommend(ON_A_SERVER) == []
    assert recommend(replace(ON_A_SERVER, placement=None)) == []


def test_shards_with_too_few_or_too_many_copies_are_told() -> None:
    for wrong in (replace(FINE, copies_active=4, shards_short=2), replace(FINE, copies_active=7, shards_over=1)):
        (advice,) = recommend(replace(ON_A_SERVER, placement=wrong))
        assert f"{wrong.copies_active} of 6 copies" in advice
        assert "image-similarity shards" in advice
