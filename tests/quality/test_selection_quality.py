"""How well rankings are cut, and copies recognised, with the offline model; see `research/measure_selection.py`."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from altered_copies import COPIES
from image_similarity.encoders.mini.image import MINI, MiniEncoder
from image_similarity.images.decode import decode
from rankings import auto, best_flat, embed, flat, labelled_rankings, outcome

MILD = ["JPEG, quality 75", "brightness + 20 %", "brightness - 20 %", "mirrored", "middle 95 %"]


def test_an_automatic_threshold_beats_the_best_flat_one(encoder: MiniEncoder, shared: Path) -> None:
    paths = sorted(path for path in (shared / "caltech101").glob("*/*") if path.is_file())
    labels = np.array([path.parent.name for path in paths])
    vectors = embed(encoder, (path.read_bytes() for path in paths))
    labelled, without = labelled_rankings(vectors, labels)

    found, best = outcome(labelled, auto), outcome(labelled, flat(best_flat(labelled)))
    assert found.f1 == pytest.approx(0.641, abs=0.01)
    assert best.f1 == pytest.approx(0.590, abs=0.01)
    assert found.empty < 0.03
    assert outcome(without, auto).empty > 0.05


def test_copies_count_as_the_same_picture_and_other_pictures_do_not(encoder: MiniEncoder, shared: Path) -> None:
    files = [path.read_bytes() for path in sorted((shared / "images").glob("*.JPEG"))[:40]]
    images = [decode(data, max_pixels=50_000_000).image.convert("RGB") for data in files]
    originals = embed(encoder, files)
    for name in MILD:
        copies = embed(encoder, map(COPIES[name], images))
        assert ((copies * originals).sum(axis=1) >= MINI.duplicate_similarity).mean() >= 0.94, name
    assert max(float(one @ other) for one, other in combinations(originals, 2)) < MINI.duplicate_similarity - 0.2
