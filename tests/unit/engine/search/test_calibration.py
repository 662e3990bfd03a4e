"""Scores as probabilities: rising, bounded, and only of the model they were made for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.queries import ImageBytes, ImageUrl, IndexedImage, Query, QueryPart, Text
from image_similarity.engine.search.calibration import Calibration, QueryKind, read_calibrations

FINITE = st.floats(-1, 1, width=32)


@settings(deadline=None)
@given(st.lists(FINITE, min_size=1), st.floats(0.01, 1e6), st.floats(-1e6, 1e6))
def test_a_higher_score_never_has_a_lower_probability(scores: list[float], slope: float, intercept: float) -> None:
    probabilities = Calibration(slope, intercept).apply(np.sort(scores))
    assert (np.diff(probabilities) >= 0).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


def test_it_is_the_logistic_curve() -> None:
    assert Calibration(8.0, -4.0).apply([0.5, 0.0, 1.0]) == pytest.approx(
        [0.5, 1 / (1 + np.exp(4)), 1 / (1 + np.exp(-4))]
    )


@pytest.mark.parametrize(("slope", "intercept"), [(0, 0), (-1, 0), (np.inf, 0), (np.nan, 0), (1, np.nan), (1, np.inf)])
def test_a_curve_that_does_not_rise_is_none(slope: float, intercept: float) -> None:
    with pytest.raises(ValueError, match="no calibration"):
        Calibration(slope, intercept)


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        (Query.of(ImageBytes(b"x")), QueryKind.IMAGE),
        (Query.of(IndexedImage("x")), QueryKind.IMAGE),
        (Query.of(Text("x")), QueryKind.TEXT),
        (Query.of(ImageUrl("https://example.org/x.jpg")), QueryKind.IMAGE),
        (Query((QueryPart(Text("x")), QueryPart(Text("y"), 0.5))), None),
        (Query((QueryPart(Text("x")),), positive=(IndexedImage("y"),)), None),
        (Query((QueryPart(ImageBytes(b"x")),), negative=(IndexedImage("y"),)), None),
        (Query(positive=(IndexedImage("x"),)), None),
        (Query((QueryPart(ImageBytes(b"x")), QueryPart(Text("at night"), 0.5))), None),
    ],
    ids=["image", "indexed", "text", "url", "two-texts", "liked", "disliked", "example", "image-and-text"],
)
def test_the_kind_of_a_query_is_that_of_its_only_part(query: Query, kind: QueryKind | None) -> None:
    assert QueryKind.of(query) is kind


def written(path: Path, document: object) -> Path:
    path.write_bytes(orjson.dumps(document))
    return path


GOOD = {"model": "mini", "calibrations": {"image": {"slope": 8.5, "intercept": -3.6, "data": "photographs"}}}


def test_a_file_brings_the_curves_of_its_model(tmp_path: Path) -> None:
    found = read_calibrations(written(tmp_path / "c.json", GOOD), "mini")
    assert dict(found) == {QueryKind.IMAGE: Calibration(8.5, -3.6)}


def test_a_curve_for_texts_is_that_of_one_text_tower(tmp_path: Path) -> None:
    curve = {"slope": 20, "intercept": -5, "text_model": "words"}
    path = written(tmp_path / "c.json", {"model": "mini", "calibrations": {**GOOD["calibrations"], "text": curve}})
    assert set(read_calibrations(path, "mini", "words")) == {QueryKind.IMAGE, QueryKind.TEXT}
    assert set(read_calibrations(path, "mini", "mots")) == {QueryKind.IMAGE}
    assert set(read_calibrations(path, "mini")) == {QueryKind.IMAGE}


def test_a_file_for_another_model_is_refused_with_both_names(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"made for the model mini, but clip is running"):
        read_calibrations(written(tmp_path / "c.json", GOOD), "clip")


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"model": "mini", "calibrations": []},
        {"model": "mini", "calibrations": {"sound": {"slope": 1, "intercept": 0}}},
        {"model": "mini", "calibrations": {"image": {"slope": -1, "intercept": 0}}},
        {"model": "mini", "calibrations": {"image": {"slope": "steep", "intercept": 0}}},
        {"model": "mini", "calibrations": {"image": {"intercept": 0}}},
        {"model": "mini", "calibrations": {"text": {"slope": 1, "intercept": 0}}},
    ],
)
def test_what_is_no_calibration_is_refused(tmp_path: Path, document: object) -> None:
    with pytest.raises(InvalidRequest, match="is not what"):
        read_calibrations(written(tmp_path / "c.json", document), "mini")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_calibrations(tmp_path / "nowhere.json", "mini")
