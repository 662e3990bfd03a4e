"""Feedback events at rest, in a folder and in a bucket: none lost, none twice, old ones gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest

from image_similarity.domain.errors import InvalidCursor, InvalidRequest
from image_similarity.domain.queries import ImageBytes, IndexedImage, Query, QueryPart, Text
from image_similarity.engine.feedback.events import FeedbackEvent, Verdict, asked, from_json, query_from_json, to_json
from image_similarity.engine.feedback.log import FeedbackLog
from image_similarity.storage.objects import Objects

DAY = 86_400.0
DOGS = Query.of(Text("dogs"))


def log_of(objects: Objects, *, collection: str = "photos", retention: float = 0) -> FeedbackLog:
    return FeedbackLog(objects, collection=collection, model="colours", retention=retention)


async def exported(log: FeedbackLog) -> list[FeedbackEvent]:
    return [event async for event in log.export()]


async def write(objects: Objects, *, age: float) -> FeedbackEvent:
    """Put an event there that is so many seconds old."""
    moment = datetime.now(UTC) - timedelta(seconds=age)
    milliseconds = int(moment.timestamp() * 1000)
    event_id = f"{milliseconds:012x}7{uuid4().hex[13:]}"
    event_id = "-".join([event_id[:8], event_id[8:12], event_id[12:16], event_id[16:20], event_id[20:]])
    event = FeedbackEvent(event_id, "colours", None, DOGS, "old", Verdict.POSITIVE)
    day = moment.date().isoformat()
    await objects.create(f"feedback/photos/events/{day}/{event_id}", orjson.dumps(to_json(event)))
    return event


async def test_what_is_said_comes_back_in_order(objects: Objects) -> None:
    log = log_of(objects)
    assert await exported(log) == []
    said = [
        await log.add("rex", Verdict.POSITIVE, query=DOGS),
        await log.add("tom", Verdict.NEGATIVE, query=DOGS, query_id="019a9d5e-4c1b-7d3a-9f5e-2f6f0a1b2c3d"),
        await log.add("rex", Verdict.CLEAR, query_id="019a9d5e-4c1b-7d3a-9f5e-2f6f0a1b2c3d"),
    ]
    assert await exported(log_of(objects)) == said
    assert [event.model for event in said] == ["colours"] * 3
    assert datetime.now(UTC) - said[0].at < timedelta(minutes=1)


async def test_pages_repeat_and_skip_nothing(objects: Objects) -> None:
    log = log_of(objects)
    said = [await write(objects, age=3 * DAY), await write(objects, age=2 * DAY)]
    said += [await log.add(f"{number}", Verdict.POSITIVE, query=DOGS) for number in range(5)]
    for limit in (1, 2, 3, 7, 100):
        listed, cursor = await log.page(limit=limit)
        while cursor is not None:
            more, cursor = await log.page(limit=limit, cursor=cursor)
            assert 0 < len(more) <= limit
            listed += more
        assert listed == said
    assert await log.page(limit=10, cursor=said[4].event_id) == (said[5:], None)


async def test_a_page_asks_a_bucket_for_no_more_than_a_page(prefix: str, tmp_path: Path) -> None:
    bucket = Objects.open(prefix, default=tmp_path)
    said = [await log_of(bucket).add(f"{number}", Verdict.POSITIVE, query=DOGS) for number in range(30)]
    listed: list[int] = []

    class Counting:
        """The bucket, which counts what its listings bring."""

        def __getattr__(self, name: str) -> Any:
            return getattr(bucket._store, name)

        async def list(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
            async for chunk in bucket._store.list(*args, **options):
                listed.append(len(chunk))
                yield chunk

    log = log_of(Objects(Counting()))  # type: ignore[arg-type]
    assert await log.page(limit=4, cursor=said[9].event_id) == (said[10:14], said[13].event_id)
    assert listed == [5]


async def test_what_is_still_being_written_to_a_folder_is_on_no_page(tmp_path: Path) -> None:
    log = log_of(Objects.open(None, default=tmp_path))
    said = await log.add("rex", Verdict.POSITIVE, query=DOGS)
    day = tmp_path / "feedback" / "photos" / "events" / said.at.date().isoformat()
    (day / f"{said.event_id}#1").write_bytes(b"{")
    assert await log.page(limit=1) == ([said], None)


@pytest.mark.parametrize("cursor", ["", "x", "é", "2026-11-21", "../../etc/passwd"])
async def test_a_cursor_of_someone_else_is_refused(tmp_path: Path, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        await log_of(Objects.open(None, default=tmp_path)).page(limit=1, cursor=cursor)


async def test_several_processes_lose_nothing(objects: Objects) -> None:
    logs = [log_of(objects) for _ in range(3)]
    said = await asyncio.gather(
        *(logs[number % 3].add(f"{number}", Verdict.POSITIVE, query=DOGS) for number in range(60))
    )
    assert {event.image_id for event in await exported(logs[0])} == {f"{number}" for number in range(60)}
    assert sorted(event.event_id for event in said) == [event.event_id for event in await exported(logs[1])]


async def test_a_repeated_request_is_one_event_also_through_another_process(objects: Objects) -> None:
    one, other = log_of(objects), log_of(objects)
    first = await one.add("rex", Verdict.POSITIVE, query=DOGS, request_key="a")
    again = await asyncio.gather(
        *(log.add("rex", Verdict.POSITIVE, query=DOGS, request_key="a") for log in (one, other, other))
    )
    assert again == [first] * 3
    another = await other.add("rex", Verdict.POSITIVE, query=DOGS, request_key="b")
    assert await exported(one) == [first, another]


async def test_a_repeated_request_completes_what_was_cut_off(objects: Objects) -> None:
    log = log_of(objects)
    first = await log.add("rex", Verdict.POSITIVE, query=DOGS, request_key="a")
    # As if the process had died between its two writes.
    await objects.delete_all("feedback/photos/events")
    assert await exported(log) == []
    assert await log.add("rex", Verdict.POSITIVE, query=DOGS, request_key="a") == first
    assert await exported(log) == [first]


async def test_a_key_is_for_one_verdict(objects: Objects) -> None:
    log = log_of(objects)
    first = await log.add("rex", Verdict.POSITIVE, query=DOGS, request_key="a")
    with pytest.raises(InvalidRequest, match="Idempotency-Key"):
        await log.add("rex", Verdict.NEGATIVE, query=DOGS, request_key="a")
    assert await exported(log) == [first]


async def test_old_events_are_removed_and_young_ones_kept(objects: Objects) -> None:
    for days in (40, 31, 30.001):
        await write(objects, age=days * DAY)
    young = [await write(objects, age=29.999 * DAY)]
    log = log_of(objects, retention=30 * DAY)
    young.append(await log.add("rex", Verdict.POSITIVE, query=DOGS))

    assert await log.sweep() == 3
    assert await exported(log) == young
    assert await log.sweep() == 0


async def test_without_a_retention_all_is_kept(objects: Objects) -> None:
    old = await write(objects, age=4000 * DAY)
    log = log_of(objects)
    assert await log.sweep() == 0
    assert await exported(log) == [old]


async def test_sweeping_ends_when_told_to(tmp_path: Path) -> None:
    objects = Objects.open(None, default=tmp_path)
    await write(objects, age=2 * DAY)
    log, stop = log_of(objects, retention=DAY), asyncio.Event()
    sweeping = asyncio.create_task(log.run_sweeps(stop))
    while await exported(log):  # noqa: ASYNC110 - what is waited for is a file
        await asyncio.sleep(0.01)
    stop.set()
    await asyncio.wait_for(sweeping, 30)


async def test_all_of_a_collection_can_be_deleted(objects: Objects) -> None:
    log, other = log_of(objects), log_of(objects, collection="others")
    for number in range(3):
        await log.add(f"{number}", Verdict.POSITIVE, query=DOGS, request_key=f"{number}")
    kept = await other.add("rex", Verdict.POSITIVE, query=DOGS)

    assert await log.delete_all() == 3
    assert await exported(log) == []
    assert await objects.entries("feedback/photos") == []
    assert await exported(other) == [kept]
    assert await log.delete_all() == 0


@pytest.mark.parametrize(
    ("query", "document"),
    [
        (Query.of(IndexedImage("a")), {"image_id": "a"}),
        (DOGS, {"text": "dogs"}),
        (Query((QueryPart(Text("dogs"), 0.5),)), {"query": [{"text": "dogs", "weight": 0.5}]}),
        (
            Query((QueryPart(IndexedImage("a")), QueryPart(Text("night"), -0.5))),
            {"query": [{"image_id": "a", "weight": 1}, {"text": "night", "weight": -0.5}]},
        ),
    ],
)
def test_a_query_is_written_as_it_is_sent_and_read_back(query: Query, document: dict[str, object]) -> None:
    assert asked(query) == document
    assert query_from_json(document) == query


def test_no_bytes_of_an_image_are_ever_written() -> None:
    with pytest.raises(InvalidRequest, match="no images that were sent"):
        asked(Query.of(ImageBytes(b"an image")))


@pytest.mark.parametrize(
    "change", [{"verdict": "magic"}, {"event_id": "x"}, {"image_id": ""}, {"query": {"n": 1}}, {"query": {}}]
)
def test_what_is_no_event_is_not_read(change: dict[str, object]) -> None:
    event = FeedbackEvent("019a9d5e-4c1b-7d3a-9f5e-2f6f0a1b2c3d", "colours", None, DOGS, "rex", Verdict.CLEAR)
    assert from_json(to_json(event)) == event
    with pytest.raises(InvalidRequest):
        from_json(to_json(event) | change)


async def test_an_event_that_cannot_be_read_hides_no_other(objects: Objects) -> None:
    log = log_of(objects)
    told = [await log.add(name, Verdict.POSITIVE, query=DOGS) for name in ("rex", "tom", "kim")]
    for event, document in ((told[0], b'{"cut'), (told[1], orjson.dumps(to_json(told[1]) | {"verdict": "perhaps"}))):
        await objects.write(f"feedback/photos/events/{event.at.date().isoformat()}/{event.event_id}", document)

    assert await exported(log) == [told[2]]
    assert await log.page(limit=10) == ([told[2]], None)
    assert await log.delete_all() == 3
