"""Whether feedback would have helped: on embeddings whose outcome is known."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from uuid_utils import uuid7

from image_similarity.domain.errors import InvalidRequest, TextSearchUnavailable
from image_similarity.domain.queries import IndexedImage, Query, SearchOptions, SearchResult, Strategy, Text
from image_similarity.domain.records import Embedding
from image_similarity.engine.feedback.events import FeedbackEvent, Verdict
from image_similarity.engine.search.query_vector import shape
from image_similarity.evaluation.feedback import PLAIN, JudgedQuery, measure, read_judged, split
from image_similarity.evaluation.intervals import Interval
from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.qdrant_edge.store import EmbeddedStore
from tests.support.records import record

GOOD, BAD, CLEAR = Verdict.POSITIVE, Verdict.NEGATIVE, Verdict.CLEAR
DOGS = Query.of(Text("dogs"))
DIMENSION = 32


def event(image_id: str, verdict: Verdict, query: Query | None = DOGS, query_id: str | None = None) -> FeedbackEvent:
    return FeedbackEvent(str(uuid7()), "colours", query_id, query, image_id, verdict)


async def judged(*events: FeedbackEvent) -> tuple[list[JudgedQuery], int]:
    async def listed() -> AsyncIterator[FeedbackEvent]:
        for each in events:
            yield each

    return await read_judged(listed())


async def always(_: str) -> bool:
    return True


async def test_the_last_verdict_counts_and_stands_at_its_own_time() -> None:
    [dogs], unknown = await judged(
        event("a", GOOD), event("b", BAD), event("c", GOOD), event("a", BAD), event("b", CLEAR), event("c", GOOD)
    )
    assert dogs.verdicts == (("a", BAD), ("c", GOOD))
    assert unknown == 0


async def test_the_same_query_is_one_however_often_it_was_asked() -> None:
    found, _ = await judged(
        event("a", GOOD, query_id="1"), event("b", GOOD, query_id="2"), event("c", GOOD, Query.of(Text("cats")))
    )
    assert [len(each.verdicts) for each in found] == [2, 1]


async def test_an_answer_is_enough_where_another_event_says_what_was_asked() -> None:
    found, unknown = await judged(
        event("a", GOOD, None, "1"),
        event("b", GOOD, DOGS, "1"),
        event("c", GOOD, None, "2"),
        event("d", BAD, None, "2"),
    )
    assert found == [JudgedQuery(DOGS, (("a", GOOD), ("b", GOOD)))]
    assert unknown == 1


async def test_what_was_taken_back_and_the_query_itself_count_for_nothing() -> None:
    found, _ = await judged(event("a", GOOD), event("a", CLEAR), event("x", GOOD, Query.of(IndexedImage("x"))))
    assert found == []


def test_the_first_verdicts_are_applied_and_the_later_ones_held_out() -> None:
    verdicts = (("n1", BAD), ("p1", GOOD), ("p2", GOOD), ("n2", BAD), ("p3", GOOD), ("n3", BAD), ("p4", GOOD))
    two = split(JudgedQuery(DOGS, verdicts), 2)
    assert two is not None
    assert (two.positive, two.negative, two.held_out) == (("p1", "p2"), ("n1", "n2"), {"p3", "p4"})
    # At most half: there is always something to find.
    assert split(JudgedQuery(DOGS, verdicts), 30) == two
    assert split(JudgedQuery(DOGS, (("p1", GOOD), ("n1", BAD)))) is None


class Crowd:
    """A subject each way from a query that stands between two: only a verdict tells which one is meant."""

    def __init__(self, store: EmbeddedStore, vectors: dict[str, Embedding]) -> None:
        self.store, self.vectors = store, vectors

    async def search(self, query: Query, options: SearchOptions) -> SearchResult:
        [part] = query.parts
        assert isinstance(part.source, Text)
        examples = [[self._of(one) for one in some] for some in (query.positive, query.negative)]
        wanted = shape(self.vectors[part.source.text], *examples, query.strategy)
        named = [one.image_id for one in (*query.positive, *query.negative) if isinstance(one, IndexedImage)]
        matches = await self.store.query(wanted, top_k=options.top_k, with_metadata=False, exclude=named)
        return SearchResult("", tuple(matches), 0, cached=False)

    def _of(self, example: object) -> Embedding:
        assert isinstance(example, IndexedImage)
        return self.vectors[example.image_id]


def near(random: np.random.Generator, centre: Embedding, spread: float) -> Embedding:
    vector = centre + spread * random.normal(size=DIMENSION).astype(np.float32) / np.sqrt(DIMENSION)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.fixture
async def crowd(tmp_path: Path) -> AsyncIterator[Crowd]:
    """Forty queries, each between two groups of eight images; the first is what its user means."""
    random = np.random.default_rng(7)
    vectors: dict[str, Embedding] = {}
    for number in range(40):
        meant, other = (near(random, np.zeros(DIMENSION, np.float32), 1) for _ in range(2))
        vectors[f"query-{number}"] = near(random, meant + other, 0.1)
        for kind, centre in (("meant", meant), ("other", other)):
            vectors |= {f"{kind}-{number}-{each}": near(random, centre, 0.3) for each in range(8)}
    store = EmbeddedStore.open(tmp_path / "crowd", CollectionMeta("colours", DIMENSION))
    await store.upsert([(record(name), vector) for name, vector in vectors.items() if not name.startswith("query")])
    yield Crowd(store, vectors)
    await store.close()


def verdicts_of(number: int, liked: str = "meant", disliked: str = "other") -> JudgedQuery:
    verdicts = [(f"{disliked}-{number}-0", BAD), *((f"{liked}-{number}-{each}", GOOD) for each in range(8))]
    return JudgedQuery(Query.of(Text(f"query-{number}")), tuple(verdicts))


async def test_verdicts_that_tell_what_is_meant_raise_recall_with_every_strategy(crowd: Crowd) -> None:
    report = await measure([verdicts_of(number) for number in range(40)], crowd.search, always)

    assert (report.queries, report.pairs, report.left_out) == (40, 40 * 5, {})
    assert (report.applied_positive, report.applied_negative) == (3, 1)
    # Twelve images are as near as each other, and ten places for them.
    assert report.recall[PLAIN].mean == pytest.approx(10 / 12, abs=0.15)
    for strategy in Strategy:
        assert report.verdict(strategy) == "helps"
        assert report.recall[strategy].mean > 0.98
        gain = report.gain[strategy]
        assert gain.mean == pytest.approx(report.recall[strategy].mean - report.recall[PLAIN].mean)
        assert gain.low < gain.mean < gain.high


async def test_verdicts_that_mislead_are_found_out(crowd: Crowd) -> None:
    def mixed(number: int) -> JudgedQuery:
        """Applied are others' images; what is liked later is meant."""
        stranger = (number + 1) % 40
        applied = [(f"other-{stranger}-{each}", GOOD) for each in range(3)]
        later = [(f"meant-{number}-{each}", GOOD) for each in range(5)]
        return JudgedQuery(Query.of(Text(f"query-{number}")), (*applied, *later))

    report = await measure([mixed(number) for number in range(40)], crowd.search, always)
    assert [report.verdict(strategy) for strategy in (Strategy.AVERAGE, Strategy.SUM_SCORES)] == ["hurts"] * 2


async def test_nothing_is_claimed_where_nothing_changes(crowd: Crowd) -> None:
    async def same(query: Query, options: SearchOptions) -> SearchResult:
        named = {one.image_id for one in (*query.positive, *query.negative) if isinstance(one, IndexedImage)}
        found = (await crowd.search(Query(query.parts), SearchOptions(top_k=30))).matches
        left = tuple(match for match in found if match.image_id not in named)
        return SearchResult("", left[: options.top_k], 0, cached=False)

    report = await measure([verdicts_of(number) for number in range(20)], same, always)
    assert {report.verdict(strategy) for strategy in Strategy} == {"cannot be told"}
    assert {gain.mean for gain in report.gain.values()} == {0}


async def test_the_same_record_makes_the_same_report(crowd: Crowd) -> None:
    some = [verdicts_of(number) for number in range(12)]
    assert await measure(some, crowd.search, always) == await measure(some, crowd.search, always)


async def test_images_that_are_gone_are_left_out(crowd: Crowd) -> None:
    async def is_indexed(image_id: str) -> bool:
        return image_id not in {f"meant-0-{each}" for each in range(7)} | {"meant-1-0"}

    report = await measure([verdicts_of(number) for number in range(3)], crowd.search, is_indexed)
    assert (report.queries, report.pairs) == (2, 4 + 5)
    assert report.left_out == {"fewer than two liked images are there": 1}


async def test_a_query_that_cannot_be_asked_any_more_is_counted(crowd: Crowd) -> None:
    async def search(query: Query, options: SearchOptions) -> SearchResult:
        if query.parts == verdicts_of(0).query.parts:
            raise TextSearchUnavailable("no text tower")
        return await crowd.search(query, options)

    steps: list[int] = []
    report = await measure(
        [verdicts_of(number) for number in range(3)], search, always, unknown=4, on_step=steps.append
    )
    assert report.queries == 2
    assert report.left_out == {"the query is unknown": 4, "the search was refused": 1}
    assert steps == [1, 2, 3]


@pytest.mark.parametrize("some", [[], [JudgedQuery(DOGS, (("a", GOOD), ("b", BAD)))]])
async def test_a_record_that_says_nothing_is_refused(crowd: Crowd, some: Sequence[JudgedQuery]) -> None:
    with pytest.raises(InvalidRequest, match="nothing to measure"):
        await measure(some, crowd.search, always)


async def test_the_report_for_programs_says_all_of_it(crowd: Crowd) -> None:
    report = await measure([verdicts_of(number) for number in range(12)], crowd.search, always)
    document = report.to_json()
    assert document["measure"] == "recall@10"
    assert document["queries"] == 12
    assert document["verdicts"]["average"] == report.verdict(Strategy.AVERAGE)
    assert set(document["recall"]) == {"plain", "average", "best_score", "sum_scores", "relevance_feedback"}
    assert document["gain"]["best_score"]["mean"] == report.gain[Strategy.BEST_SCORE].mean


async def test_queries_of_a_group_are_drawn_together(crowd: Crowd) -> None:
    async def lucky_half(query: Query, options: SearchOptions) -> SearchResult:
        """Find everything for the queries of every other group, and nothing for the others."""
        [part] = query.parts
        assert isinstance(part.source, Text)
        number = int(part.source.text.removeprefix("query-"))
        if number // 2 % 2:
            return SearchResult("", (), 0, cached=False)
        return await crowd.search(query, options)

    alone = await measure([verdicts_of(number) for number in range(40)], lucky_half, always)
    pairs = [replace(verdicts_of(number), group=f"{number // 2}") for number in range(40)]
    together = await measure(pairs, lucky_half, always)

    def width(interval: Interval) -> float:
        return interval.high - interval.low

    assert together.recall[PLAIN].mean == alone.recall[PLAIN].mean
    assert width(together.recall[PLAIN]) > 1.2 * width(alone.recall[PLAIN])
