"""Run a task: rank, measure, and select the worst queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_similarity.evaluation.intervals import bootstrap, clusters_or_queries
from image_similarity.evaluation.metrics import METRICS
from image_similarity.evaluation.ranking import Indexes, Ranked, rank
from image_similarity.evaluation.report import LabelFigures, Model, PerQuery, Report, Shown, WorstQuery
from image_similarity.evaluation.tasks import OnStep, Task

FOUND_SHOWN = 5
WANTED_SHOWN = 3

_AVERAGE_PRECISION = list(METRICS).index("mAP")
_RECALL_AT_1 = list(METRICS).index("recall@1")


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """A report and its ranking, from which a calibration can be fitted."""

    report: Report
    ranked: Ranked
    hits: NDArray[np.bool_]
    """Which of `ranked.top` are relevant."""
    clusters: NDArray[np.int64]
    """For each row of `ranked`: the number of its label, or of its caption's image."""


def measure(
    task: Task, model: Model, *, data: str, worst: int = 10, on_step: OnStep = lambda *_: None
) -> EvaluationResult:
    """Rank all candidates for all queries and return the report; `data` is the name of the data set.

    The interval of each figure is a bootstrap of labels, or of images, with all their queries; of single queries if
    there are fewer than ten labels (see `intervals`).
    """
    retrieval = task.retrieval
    ranked = rank(retrieval, lambda done: on_step("Ranking", done, len(task.names)))
    clusters = retrieval.query_groups[ranked.rows]
    drawn, by_cluster = clusters_or_queries(clusters)
    report = Report(
        model=model,
        kind=task.kind,
        text_model=task.text_model,
        data=data,
        images=len(task.files),
        candidates=len(task.files) - int(retrieval.itself),
        unanswerable=len(task.names) - len(ranked.rows),
        drawn=task.clusters if by_cluster else "queries",
        figures=dict(zip(METRICS, bootstrap(ranked.values, drawn), strict=True)),
        labels=_by_label(task, ranked),
        worst=tuple(_look_at(task, ranked, int(row)) for row in _worst_rows(ranked, worst)),
        per_query=PerQuery(tuple(task.names[row] for row in ranked.rows), ranked.values, drawn),
        skipped=task.skipped,
        warnings=task.warnings,
    )
    hits = retrieval.candidate_groups[ranked.top] == clusters[:, np.newaxis]
    return EvaluationResult(report, ranked, hits, clusters)


def _by_label(task: Task, ranked: Ranked) -> tuple[LabelFigures, ...]:
    if task.query_labels is None:
        return ()
    labels = np.array(task.query_labels)[ranked.rows]
    figures = [
        LabelFigures(
            str(label),
            int((labels == label).sum()),
            float(ranked.values[labels == label, _RECALL_AT_1].mean()),
            float(ranked.values[labels == label, _AVERAGE_PRECISION].mean()),
        )
        for label in np.unique(labels)
    ]
    return tuple(sorted(figures, key=lambda each: each.mean_average_precision))


def _worst_rows(ranked: Ranked, count: int) -> Indexes:
    """Return the rows with the lowest average precision."""
    return np.argsort(ranked.values[:, _AVERAGE_PRECISION], kind="stable")[:count]


def _look_at(task: Task, ranked: Ranked, row: int) -> WorstQuery:
    query = int(ranked.rows[row])
    scores = task.retrieval.scores(ranked.rows[row : row + 1])[0]
    relevant = task.retrieval.relevant(query)
    wanted = np.flatnonzero(relevant)
    wanted = wanted[np.argsort(-scores[wanted], kind="stable")]

    def show(candidate: int) -> Shown:
        file = task.files[candidate]
        label = task.labels[candidate] if task.labels is not None else None
        place = 1 + int((scores > scores[candidate]).sum())
        return Shown(file.path, file.relative, label, place, float(scores[candidate]), bool(relevant[candidate]))

    return WorstQuery(
        name=task.names[query] if task.texts is None else task.texts[query],
        path=task.files[query].path if task.texts is None else None,
        label=task.query_labels[query] if task.query_labels is not None else None,
        average_precision=float(ranked.values[row, _AVERAGE_PRECISION]),
        found=tuple(show(int(candidate)) for candidate in ranked.top[row, :FOUND_SHOWN]),
        wanted=tuple(show(int(candidate)) for candidate in wanted[:WANTED_SHOWN]),
    )
