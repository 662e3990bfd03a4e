"""Measure whether applying feedback would have helped: run the recorded queries again, with and without verdicts.

For each query, the first positive verdicts are applied, and the negative ones before the next positive one. Later
verdicts are held out, and the report counts how many of the held-out images are among the first ten results. Applied
images do not count: they are removed from the plain ranking too, and later results move up. This is evaluation on the
residual collection (Salton & Buckley, "Improving retrieval performance by relevance feedback", JASIS 1990). Otherwise
a method would score by showing users the images that they have just liked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable, Collection
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from image_similarity.domain.errors import InvalidRequest, TextSearchUnavailable
from image_similarity.domain.queries import MAX_EXAMPLES, IndexedImage, Query, SearchOptions, SearchResult, Strategy
from image_similarity.engine.feedback.events import FeedbackEvent, Verdict, asked
from image_similarity.evaluation.intervals import CONFIDENCE, Interval, bootstrap, clusters_or_queries

K = 10
"""Results on the first screen of a user."""

APPLIED = 3
"""Default number of applied positive verdicts: about as many as a user gives before searching again."""

PLAIN = "plain"

_UNKNOWN = "the query is unknown"
_TOO_FEW = "fewer than two liked images are there"
_REFUSED = "the search was refused"

Search = Callable[[Query, SearchOptions], Awaitable[SearchResult]]
IsIndexed = Callable[[str], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A query, and its last verdict on each image, in the order of time."""

    query: Query
    verdicts: tuple[tuple[str, Verdict], ...]
    group: str | None = None
    """Queries of one group depend on each other, so the bootstrap draws them together; None: a group of its own."""


@dataclass(frozen=True, slots=True)
class HeldOutSplit:
    """A query with the verdicts to apply, and the images that were liked later."""

    query: Query
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    held_out: frozenset[str]
    group: str | None = None


@dataclass(frozen=True, slots=True)
class FeedbackReport:
    """The share of held-out images among the first ten, over queries."""

    queries: int
    pairs: int
    """Held-out images, over all queries."""
    applied_positive: float
    """Verdicts per query, on average."""
    applied_negative: float
    recall: dict[str, Interval]
    """By strategy; `plain` is without feedback."""
    gain: dict[str, Interval]
    """Recall of each strategy minus that of plain, query by query."""
    left_out: dict[str, int]
    """Queries that could not be run, by reason."""

    def verdict(self, strategy: Strategy) -> str:
        """Return whether a strategy helps, according to the interval of its gain."""
        gain = self.gain[strategy]
        if gain.low > 0:
            return "helps"
        return "hurts" if gain.high < 0 else "cannot be told"

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {"measure": f"recall@{K}", "confidence": CONFIDENCE, **asdict(self)} | {
            "verdicts": {strategy.value: self.verdict(strategy) for strategy in Strategy}
        }


async def read_judged(events: AsyncIterable[FeedbackEvent]) -> tuple[list[JudgedQuery], int]:
    """Return the queries with their verdicts, and the number of queries that no event describes.

    Events must be in the order of time. An event with only a query id takes the query of another event with that id.
    """
    everything = [event async for event in events]
    queries = {event.query_id: event.query for event in everything if event.query_id and event.query}
    by_query: dict[bytes, tuple[Query, dict[str, Verdict]]] = {}
    unknown: set[str | None] = set()
    for event in everything:
        query = event.query or queries.get(event.query_id or "")
        if query is None:
            unknown.add(event.query_id)
            continue
        if IndexedImage(event.image_id) in query.sources:
            # An image of the query is never among the results.
            continue
        _, verdicts = by_query.setdefault(orjson.dumps(asked(query), option=orjson.OPT_SORT_KEYS), (query, {}))
        # Removed first, so that the last verdict is in the order of its own time.
        verdicts.pop(event.image_id, None)
        if event.verdict is not Verdict.CLEAR:
            verdicts[event.image_id] = event.verdict
    return [JudgedQuery(query, tuple(verdicts.items())) for query, verdicts in by_query.values() if verdicts], len(
        unknown
    )


def split(judged: JudgedQuery, applied: int = APPLIED) -> HeldOutSplit | None:
    """Return the trial of a query: up to `applied` positive verdicts, at most half; None if there are not two."""
    liked = [image_id for image_id, verdict in judged.verdicts if verdict is Verdict.POSITIVE]
    first = min(applied, len(liked) // 2, MAX_EXAMPLES)
    if not first:
        return None
    order = [image_id for image_id, _ in judged.verdicts]
    before = judged.verdicts[: order.index(liked[first])]
    disliked = [image_id for image_id, verdict in before if verdict is Verdict.NEGATIVE]
    return HeldOutSplit(
        judged.query, tuple(liked[:first]), tuple(disliked[-MAX_EXAMPLES:]), frozenset(liked[first:]), judged.group
    )


async def measure(
    judged: Collection[JudgedQuery],
    search: Search,
    is_indexed: IsIndexed,
    *,
    applied: int = APPLIED,
    unknown: int = 0,
    on_step: Callable[[int], None] = lambda _: None,
) -> FeedbackReport:
    """Run every query plain and with each strategy.

    `unknown` is the second result of `read_judged`; `on_step` is called with the number of queries done. Raises
    InvalidRequest if no query is left, and the errors of the search, except for refusals of a single query.
    """
    trials: list[HeldOutSplit] = []
    rows: list[list[float]] = []
    left_out = Counter({_UNKNOWN: unknown})
    for number, each in enumerate(judged, start=1):
        trial = split(await _still_there(each, is_indexed), applied)
        if trial is None:
            left_out[_TOO_FEW] += 1
        else:
            try:
                rows.append(await _recalls(trial, search))
                trials.append(trial)
            except (InvalidRequest, TextSearchUnavailable):
                left_out[_REFUSED] += 1
        on_step(number)
    if not trials:
        raise InvalidRequest(
            "There is no query with two or more positive verdicts that can be run again, so there is nothing to "
            "measure. Send `query` with `POST /feedback`, and try again when there are more verdicts."
        )
    return _report(trials, np.array(rows), dict(+left_out))


async def _still_there(judged: JudgedQuery, is_indexed: IsIndexed) -> JudgedQuery:
    kept = [each for each in judged.verdicts if await is_indexed(each[0])]
    for part in judged.query.parts:
        if isinstance(part.source, IndexedImage) and not await is_indexed(part.source.image_id):
            kept = []
    return replace(judged, verdicts=tuple(kept))


async def _recalls(trial: HeldOutSplit, search: Search) -> list[float]:
    """Return the recall@10 of the plain query and of each strategy."""
    judged = {*trial.positive, *trial.negative}
    plain = await search(trial.query, SearchOptions(top_k=K + len(judged), with_metadata=False))
    recalls = [_recall([match.image_id for match in plain.matches if match.image_id not in judged], trial)]
    positive, negative = (tuple(map(IndexedImage, images)) for images in (trial.positive, trial.negative))
    for strategy in Strategy:
        shaped = replace(trial.query, positive=positive, negative=negative, strategy=strategy)
        result = await search(shaped, SearchOptions(top_k=K, with_metadata=False))
        recalls.append(_recall([match.image_id for match in result.matches], trial))
    return recalls


def _recall(ranked: list[str], trial: HeldOutSplit) -> float:
    # Ten places hold at most ten images, so a perfect ranking has a recall of 1, however many images are held out.
    return len(trial.held_out & set(ranked[:K])) / min(K, len(trial.held_out))


def _report(trials: list[HeldOutSplit], recalls: NDArray[np.float64], left_out: dict[str, int]) -> FeedbackReport:
    groups = [f"query {number}" if each.group is None else each.group for number, each in enumerate(trials)]
    clusters, _ = clusters_or_queries(np.unique(groups, return_inverse=True)[1].astype(np.int64))
    gains = recalls[:, 1:] - recalls[:, :1]
    names = [strategy.value for strategy in Strategy]
    return FeedbackReport(
        queries=len(trials),
        pairs=sum(len(trial.held_out) for trial in trials),
        applied_positive=float(np.mean([len(trial.positive) for trial in trials])),
        applied_negative=float(np.mean([len(trial.negative) for trial in trials])),
        recall=dict(zip([PLAIN, *names], bootstrap(recalls, clusters), strict=True)),
        gain=dict(zip(names, bootstrap(gains, clusters), strict=True)),
        left_out=left_out,
    )
