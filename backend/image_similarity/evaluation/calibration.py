"""Fit probabilities to the scores of hits, and evaluate the fit on labels that it has not seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from image_similarity.domain.errors import InvalidRequest
from image_similarity.engine.search.calibration import Calibration, read_calibrations
from image_similarity.evaluation.run import EvaluationResult

FOLDS = 5
FEWEST_CLUSTERS = 10
"""With fewer labels, or images, a fold would be too small."""

BINS = 10
SEED = 6_174

_ITERATIONS = 100
_PRECISE = 1e-10


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The hits whose predicted probabilities are in one range."""

    low: float
    high: float
    hits: int
    said: float
    """Mean of their predicted probabilities."""
    seen: float
    """Share of them that are relevant."""


@dataclass(frozen=True, slots=True)
class CalibrationFit:
    """A calibration, and its errors on labels that the fit has not seen."""

    calibration: Calibration
    hits: int
    base_rate: float
    """Share of hits that are relevant."""
    brier: float
    """Mean squared error of the probabilities, held out; Brier, Monthly Weather Review, 1950."""
    brier_of_base_rate: float
    """Brier score of predicting the base rate each time, which ignores the score."""
    expected_calibration_error: float
    """Mean difference of predicted and observed rates, bins weighted by hits, held out; Naeini et al., AAAI 2015."""
    bins: tuple[ReliabilityBin, ...]
    """Held out; bins without hits are left out."""


def fit_calibration(measured: EvaluationResult) -> CalibrationFit:
    """Fit a logistic curve to the ten best hits of each query: whether each is relevant, by its score.

    Hits, not all pairs: users see the probability of hits, and relevant images are far more frequent among hits than in
    the collection. The errors are from five fits, each tested on a fifth of the labels (of the images, if the queries
    are captions) that it has not seen. Raises InvalidRequest if there are too few labels, or if a higher score does not
    mean a better hit.
    """
    scores, hits, clusters = measured.ranked.top_scores, measured.hits, measured.clusters
    numbers = np.unique(clusters)
    if len(numbers) < FEWEST_CLUSTERS:
        raise InvalidRequest(
            f"A calibration needs at least {FEWEST_CLUSTERS} labels, or images with captions; there are {len(numbers)}."
        )
    fold_of = np.random.default_rng(SEED).permutation(len(numbers)) % FOLDS
    folds = fold_of[np.searchsorted(numbers, clusters)]
    said = np.empty(scores.shape)
    for fold in range(FOLDS):
        held_out = folds == fold
        said[held_out] = fit_logistic(scores[~held_out].ravel(), hits[~held_out].ravel()).apply(scores[held_out])
    seen = hits.astype(np.float64)
    base_rate = float(seen.mean())
    bins = reliability(said.ravel(), hits.ravel())
    return CalibrationFit(
        calibration=fit_logistic(scores.ravel(), hits.ravel()),
        hits=hits.size,
        base_rate=base_rate,
        brier=float(((said - seen) ** 2).mean()),
        brier_of_base_rate=base_rate * (1 - base_rate),
        expected_calibration_error=sum(each.hits * abs(each.said - each.seen) for each in bins) / hits.size,
        bins=bins,
    )


def fit_logistic(scores: NDArray[np.floating], relevant: NDArray[np.bool_]) -> Calibration:
    """Fit the curve by Newton's method; both arguments have shape (hits,).

    The targets are moved inwards from 0 and 1, as Platt proposes, which keeps the curve finite if the scores separate
    the relevant hits from the others; Lin, Lin & Weng, "A note on Platt's probabilistic outputs", Machine Learning
    2007. Raises InvalidRequest if the curve does not rise.
    """
    right, wrong = int(relevant.sum()), int((~relevant).sum())
    targets = np.where(relevant, (right + 1) / (right + 2), 1 / (wrong + 2))
    inputs = np.stack([scores.astype(np.float64), np.ones(len(scores))], axis=1)
    weights = np.array([0.0, np.log((right + 1) / (wrong + 1))])
    loss = _loss(inputs @ weights, targets)
    for _ in range(_ITERATIONS):
        said = 0.5 * (1 + np.tanh(inputs @ weights / 2))
        gradient = inputs.T @ (said - targets)
        curvature = (inputs * (said * (1 - said))[:, np.newaxis]).T @ inputs + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        # Far from the minimum a full step may overshoot.
        while (smaller := _loss(inputs @ (weights - step), targets)) > loss and np.abs(step).max() > _PRECISE:
            step /= 2
        weights, loss = weights - step, smaller
        if np.abs(step).max() < _PRECISE:
            break
    try:
        return Calibration(float(weights[0]), float(weights[1]))
    except ValueError as error:
        raise InvalidRequest("On these images a higher score does not mean a better hit; nothing to fit.") from error


def _loss(values: NDArray[np.float64], targets: NDArray[np.float64]) -> float:
    """Return the cross-entropy of the targets and the probabilities whose logits are `values`."""
    return float(np.logaddexp(0, values).sum() - targets @ values)


def reliability(said: NDArray[np.float64], relevant: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Return predicted and observed rates for ten equal ranges of probability; both arguments have shape (hits,)."""
    numbers = np.minimum((said * BINS).astype(np.int64), BINS - 1)
    return tuple(
        ReliabilityBin(
            number / BINS,
            (number + 1) / BINS,
            int((numbers == number).sum()),
            float(said[numbers == number].mean()),
            float(relevant[numbers == number].mean()),
        )
        for number in np.unique(numbers).tolist()
    )


def write_calibration(path: Path, measured: EvaluationResult, fit: CalibrationFit) -> None:
    """Write the calibration to a file, and keep the file's calibrations for other kinds of queries.

    Raises InvalidRequest if the file is another model's, is no calibration, or cannot be written.
    """
    report = measured.report
    others: dict[str, Any] = {}
    if path.exists():
        read_calibrations(path, report.model.name)
        others = orjson.loads(path.read_bytes())["calibrations"]
    document = {
        "model": report.model.name,
        "calibrations": {**others, report.kind.value: {"method": "logistic", **_describe(measured, fit)}},
    }
    try:
        path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written: {error.strerror}.") from error


def _describe(measured: EvaluationResult, fit: CalibrationFit) -> dict[str, Any]:
    report = measured.report
    return {
        "slope": round(fit.calibration.slope, 6),
        "intercept": round(fit.calibration.intercept, 6),
        **({"text_model": report.text_model} if report.text_model is not None else {}),
        "data": report.data,
        "precision": report.model.precision,
        "queries": report.queries,
        "candidates": report.candidates,
        "hits": fit.hits,
        "base_rate": round(fit.base_rate, 4),
        "held_out": {
            "brier": round(fit.brier, 4),
            "brier_of_base_rate": round(fit.brier_of_base_rate, 4),
            "expected_calibration_error": round(fit.expected_calibration_error, 4),
            "bins": [{name: round(value, 4) for name, value in asdict(each).items()} for each in fit.bins],
        },
        "made_on": datetime.now(UTC).date().isoformat(),
    }
