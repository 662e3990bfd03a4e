"""The results of an evaluation as data, and as the JSON that `--json` prints and `--compare` reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from image_similarity.domain.errors import InvalidRequest
from image_similarity.engine.search.calibration import QueryKind
from image_similarity.evaluation.intervals import Interval, bootstrap
from image_similarity.evaluation.metrics import METRICS


@dataclass(frozen=True, slots=True)
class Model:
    """The model that was evaluated."""

    name: str
    dimension: int
    device: str
    precision: str
    fallback_reason: str | None


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """The measures of the queries of one label."""

    label: str
    queries: int
    recall_at_1: float
    mean_average_precision: float


@dataclass(frozen=True, slots=True)
class Shown:
    """A candidate of a query, to be shown."""

    path: Path
    name: str
    label: str | None
    rank: int
    score: float
    relevant: bool


@dataclass(frozen=True, slots=True)
class WorstQuery:
    """A query with poor results."""

    name: str
    """Name of the image, or the caption."""
    path: Path | None
    """Path of the image; None for a text."""
    label: str | None
    average_precision: float
    found: tuple[Shown, ...]
    """The best candidates, best first."""
    wanted: tuple[Shown, ...]
    """The best-ranked relevant candidates."""


@dataclass(frozen=True, slots=True)
class PerQuery:
    """The measures of each query, for the comparison with another model."""

    names: tuple[str, ...]
    """Relative path of an image; for a text the path of its image, a hash sign and its number."""
    values: NDArray[np.float64]
    """Shape (queries, len(METRICS))."""
    clusters: NDArray[np.int64]
    """The cluster of each query for the bootstrap; shape (queries,)."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one evaluation."""

    model: Model
    kind: QueryKind
    text_model: str | None
    """Name of the text tower if the queries are texts."""
    data: str
    """Name of the folder, and of the captions file."""
    images: int
    """How many were embedded."""
    candidates: int
    unanswerable: int
    """Images that are alone with their label: candidates, but no queries."""
    drawn: str
    """The units that the bootstrap drew: labels, images or queries."""
    figures: dict[str, Interval]
    """By the names of METRICS."""
    labels: tuple[LabelFigures, ...]
    """Worst first; none for captions."""
    worst: tuple[WorstQuery, ...]
    per_query: PerQuery
    skipped: tuple[tuple[str, str], ...]
    """Images that were left out, each with the reason."""
    warnings: tuple[str, ...]

    @property
    def queries(self) -> int:
        """The number of queries over which the figures are averaged."""
        return len(self.per_query.names)


@dataclass(frozen=True, slots=True)
class Difference:
    """A measure of this model minus that of the other."""

    other: float
    difference: Interval

    @property
    def verdict(self) -> str:
        """The conclusion from the interval: better, worse, or no difference shown."""
        if self.difference.low > 0:
            return "better"
        return "worse" if self.difference.high < 0 else "no difference shown"


@dataclass(frozen=True, slots=True)
class Comparison:
    """This model compared with another one on the same queries."""

    other: str
    """The other model's name."""
    differences: dict[str, Difference]


def to_json(report: Report, comparison: Comparison | None) -> dict[str, Any]:
    """Return the report as JSON values; means and bounds have six decimals."""
    # Not rounded: rounding would shift all differences in the same direction, so that they would look real.
    per_query = {
        "query": list(report.per_query.names),
        **{
            name: [float(value) for value in column]
            for name, column in zip(METRICS, report.per_query.values.T, strict=True)
        },
    }
    return {
        "model": asdict(report.model),
        "query_kind": report.kind,
        "text_model": report.text_model,
        "data": report.data,
        "images": report.images,
        "queries": report.queries,
        "candidates": report.candidates,
        "unanswerable": report.unanswerable,
        "bootstrap_draws": report.drawn,
        "figures": {name: _interval(figure) for name, figure in report.figures.items()},
        "labels": [asdict(label) for label in report.labels],
        "skipped": [{"image": image, "reason": reason} for image, reason in report.skipped],
        "warnings": list(report.warnings),
        "comparison": None if comparison is None else _comparison(comparison),
        "per_query": per_query,
    }


def compare(report: Report, path: Path) -> Comparison:
    """Compare with the report that `--json` printed for another model.

    Raises InvalidRequest if the file is no such report, or is about other queries or candidates, or about the offline
    model instead of the requested one.
    """
    try:
        other = orjson.loads(path.read_bytes())
        name, candidates, per_query = other["model"]["name"], other["candidates"], other["per_query"]
        stand_in = other["model"].get("fallback_reason")
        queries, kind = tuple(per_query["query"]), other["query_kind"]
        values = np.array([per_query[metric] for metric in METRICS], dtype=np.float64).T
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(f"{path} is not what `image-similarity evaluate --json` prints.") from error
    if stand_in:
        raise InvalidRequest(f"{path} has the figures of {name}, which stood in for another model: {stand_in}")
    if (kind, queries, candidates) != (report.kind, report.per_query.names, report.candidates):
        raise InvalidRequest(
            f"{path} was measured with other queries or other candidates: {len(queries)} among {candidates}, here "
            f"{report.queries} among {report.candidates}. Evaluate both models on the same images."
        )
    differences = bootstrap(report.per_query.values - values, report.per_query.clusters)
    return Comparison(
        name,
        {
            metric: Difference(float(mean), difference)
            for metric, mean, difference in zip(METRICS, values.mean(axis=0), differences, strict=True)
        },
    )


def _comparison(comparison: Comparison) -> dict[str, Any]:
    differences = {
        name: {"other": round(each.other, 6), "difference": _interval(each.difference), "verdict": each.verdict}
        for name, each in comparison.differences.items()
    }
    return {"other": comparison.other, "differences": differences}


def _interval(interval: Interval) -> dict[str, float]:
    return {name: round(value, 6) for name, value in asdict(interval).items()}
