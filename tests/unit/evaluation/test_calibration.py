"""Fitting a calibration: against scikit-learn, on data whose truth is known, and on labels that were held out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from image_similarity.domain.errors import InvalidRequest
from image_similarity.engine.search.calibration import QueryKind, read_calibrations
from image_similarity.evaluation.calibration import fit_calibration, fit_logistic, reliability, write_calibration
from image_similarity.evaluation.ranking import RetrievalTask
from image_similarity.evaluation.report import Model
from image_similarity.evaluation.run import EvaluationResult, measure
from image_similarity.evaluation.tasks import Task
from image_similarity.images.files import ImageFile

MODEL = Model("drawn", 24, "cpu", "fp32", None)


def hits_with_truth(count: int, slope: float, intercept: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and hits drawn with the probability that the curve gives them."""
    random = np.random.default_rng(0)
    scores = random.uniform(-0.2, 1, count)
    return scores, random.random(count) < 1 / (1 + np.exp(-(slope * scores + intercept)))


def test_the_true_curve_is_found() -> None:
    fitted = fit_logistic(*hits_with_truth(50_000, 9.0, -4.0))
    assert fitted.slope == pytest.approx(9.0, rel=0.05)
    assert fitted.intercept == pytest.approx(-4.0, rel=0.05)


def test_scikit_learn_fits_the_same_curve() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    scores, relevant = hits_with_truth(5_000, 6.0, -3.0)
    fitted = fit_logistic(scores, relevant)
    other = linear.LogisticRegression(C=np.inf).fit(scores.reshape(-1, 1), relevant)
    # Platt's targets differ from 0 and 1 by a part in thousands.
    assert fitted.slope == pytest.approx(other.coef_[0, 0], rel=0.01)
    assert fitted.intercept == pytest.approx(other.intercept_[0], rel=0.01)


def test_scores_that_separate_perfectly_give_a_steep_but_finite_curve() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    fitted = fit_logistic(scores, scores > 0.5)
    assert fitted.apply(scores) == pytest.approx([0.2, 0.2, 0.2, 0.8, 0.8, 0.8], abs=0.1)


def test_scores_that_mislead_are_refused() -> None:
    scores, relevant = hits_with_truth(1_000, 6.0, -3.0)
    with pytest.raises(InvalidRequest, match="higher score does not mean a better hit"):
        fit_logistic(scores, ~relevant)


def test_the_reliability_table_says_what_was_said_and_seen() -> None:
    bins = reliability(np.array([0.05, 0.05, 0.95, 1.0]), np.array([False, True, True, True]))
    assert [(each.low, each.high, each.hits, each.said, each.seen) for each in bins] == [
        (0.0, 0.1, 2, pytest.approx(0.05), 0.5),
        (0.9, 1.0, 2, pytest.approx(0.975), 1.0),
    ]


def drawn(labels: int = 30, each: int = 8, noise: float = 0.22) -> EvaluationResult:
    """Embeddings scattered about one point a label."""
    random = np.random.default_rng(5)
    groups = np.arange(labels).repeat(each)
    points = random.normal(size=(labels, 24)) / np.sqrt(24)
    vectors = (points[groups] + random.normal(0, noise, (len(groups), 24))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    files = tuple(ImageFile(Path(f"{number}.png"), f"{number}.png") for number in range(len(groups)))
    return measure(
        Task(
            kind=QueryKind.IMAGE,
            text_model=None,
            retrieval=RetrievalTask(vectors, vectors, groups, groups, itself=True),
            files=files,
            labels=tuple(f"label {group}" for group in groups),
            query_labels=tuple(f"label {group}" for group in groups),
            texts=None,
            names=tuple(file.relative for file in files),
            clusters="labels",
            skipped=(),
            warnings=(),
        ),
        MODEL,
        data="drawn",
        worst=0,
    )


def test_confidence_beats_the_base_rate_on_labels_it_has_not_seen() -> None:
    fit = fit_calibration(drawn())
    assert fit.hits == 30 * 8 * 10
    assert 0.2 < fit.base_rate < 0.7
    assert fit.brier < 0.85 * fit.brier_of_base_rate
    assert fit.expected_calibration_error < 0.06
    assert sum(each.hits for each in fit.bins) == fit.hits


def test_few_labels_are_too_few() -> None:
    with pytest.raises(InvalidRequest, match="at least 10 labels, or images with captions; there are 9"):
        fit_calibration(drawn(labels=9))


def test_a_file_is_written_that_can_be_read_and_says_what_it_was_made_from(tmp_path: Path) -> None:
    measured, path = drawn(), tmp_path / "calibration.json"
    fit = fit_calibration(measured)
    write_calibration(path, measured, fit)
    found = read_calibrations(path, "drawn")[QueryKind.IMAGE]
    assert found.apply([0.2, 0.8]) == pytest.approx(fit.calibration.apply([0.2, 0.8]), abs=1e-5)
    about = orjson.loads(path.read_bytes())["calibrations"]["image"]
    assert (about["method"], about["data"], about["hits"]) == ("logistic", "drawn", fit.hits)
    assert about["held_out"]["brier"] == pytest.approx(fit.brier, abs=1e-4)


def test_the_other_kind_of_query_keeps_its_calibration(tmp_path: Path) -> None:
    measured, path = drawn(), tmp_path / "calibration.json"
    fit = fit_calibration(measured)
    write_calibration(path, measured, fit)
    texts = replace(measured, report=replace(measured.report, kind=QueryKind.TEXT, text_model="words"))
    write_calibration(path, texts, fit)
    assert set(read_calibrations(path, "drawn", "words")) == {QueryKind.IMAGE, QueryKind.TEXT}


def test_the_file_of_another_model_is_not_overwritten(tmp_path: Path) -> None:
    measured, path = drawn(), tmp_path / "calibration.json"
    fit = fit_calibration(measured)
    write_calibration(path, measured, fit)
    before = path.read_bytes()
    other = replace(measured, report=replace(measured.report, model=replace(MODEL, name="another")))
    with pytest.raises(InvalidRequest, match="made for the model drawn"):
        write_calibration(path, other, fit)
    assert path.read_bytes() == before
    with pytest.raises(InvalidRequest, match="cannot be written"):
        write_calibration(tmp_path / "no" / "where.json", measured, fit)
