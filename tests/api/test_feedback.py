"""Verdicts over HTTP: kept, listed, exported, deleted; the same through every replica."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.servers import RunningServer

EVENT = {"query": {"text": "dogs"}, "image_id": "rex", "verdict": "positive"}
QUERY_ID = "019a9d5e-4c1b-7d3a-9f5e-2f6f0a1b2c3d"


@pytest.fixture
def clean(server: RunningServer) -> Iterator[RunningServer]:
    server.http.delete("/feedback")
    yield server
    server.http.delete("/feedback")


def say(server: RunningServer, **fields: Any) -> dict[str, Any]:
    answer = server.http.post("/feedback", json={**EVENT, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def export(server: RunningServer) -> list[dict[str, Any]]:
    answer = server.http.get("/feedback/export")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jsonl"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_verdict_is_kept_as_it_was_said_and_nothing_more(clean: RunningServer) -> None:
    parts = [{"image_id": "a", "weight": 1}, {"text": "at night", "weight": -0.5}]
    said = [say(clean), say(clean, query={"query": parts}, query_id=QUERY_ID, verdict="negative")]

    assert said[0] == {
        **EVENT,
        "event_id": said[0]["event_id"],
        "at": said[0]["at"],
        "model": clean.engine.model.spec.name,
        "query_id": None,
    }
    assert (said[1]["query"], said[1]["query_id"]) == ({"query": parts}, QUERY_ID)
    assert export(clean) == said
    assert clean.http.get("/feedback").json() == {"events": said, "next_cursor": None}


def test_what_was_asked_in_several_ways_is_one_query(clean: RunningServer) -> None:
    both = say(clean, query={"image_id": "a", "text": "night"})
    assert both["query"] == {"query": [{"image_id": "a", "weight": 1}, {"text": "night", "weight": 1}]}


def test_pages_follow_each_other(clean: RunningServer) -> None:
    said = [say(clean, image_id=f"{number}") for number in range(5)]
    listed: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = clean.http.get("/feedback", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        listed += page["events"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert listed == said
    assert clean.http.get("/feedback", params={"cursor": said[3]["event_id"]}).json()["events"] == said[4:]


def test_a_request_that_is_repeated_counts_once(clean: RunningServer) -> None:
    def post(key: str, **fields: Any) -> Any:
        return clean.http.post("/feedback", json={**EVENT, **fields}, headers={"Idempotency-Key": key})

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: post("a").json(), range(4)))
    assert answers == [answers[0]] * 4
    assert export(clean) == [answers[0]]
    other = post("a", verdict="negative")
    assert (other.status_code, other.json()["code"]) == (422, "invalid_request")
    assert post("b").json()["event_id"] != answers[0]["event_id"]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"query": None}, "query_id or query"),
        ({"query": {}}, "image_id, text and query"),
        ({"query": {"query": [{}]}}, "image_id and text"),
        ({"query": {"query": [{"image_id": "a", "text": "b"}]}}, "image_id and text"),
        ({"query": {"query": [{"image_id": "a", "weight": 0}]}}, "not 0"),
        ({"query": {"image_data": "AAAA"}}, "query.image_data"),
        ({"query": {"text": "  "}}, "1 to 2000 characters"),
        ({"query_id": "x"}, "query_id"),
        ({"image_id": ""}, "image_id"),
        ({"image_id": "a\nb"}, "printable"),
        ({"verdict": "great"}, "verdict"),
        ({"user": "kim"}, "user"),
    ],
)
def test_a_verdict_without_sense_says_what_is_wrong(clean: RunningServer, fields: Any, complaint: str) -> None:
    answer = clean.http.post("/feedback", json={**EVENT, **fields})
    assert answer.status_code == 422, answer.text
    assert complaint in answer.json()["detail"]
    assert export(clean) == []


def test_a_cursor_of_someone_else_is_refused(clean: RunningServer) -> None:
    answer = clean.http.get("/feedback", params={"cursor": "../x"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


def test_all_verdicts_can_be_deleted(clean: RunningServer) -> None:
    for number in range(3):
        say(clean, image_id=f"{number}")
    assert clean.http.delete("/feedback").json() == {"deleted": 3}
    assert export(clean) == []
    assert clean.http.delete("/feedback").json() == {"deleted": 0}
