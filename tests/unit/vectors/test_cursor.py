"""Cursors: opaque text that survives a URL, and nothing but our own is taken."""

from __future__ import annotations

import base64
import string
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_similarity.domain.errors import InvalidCursor
from image_similarity.vectors.base import point_id
from image_similarity.vectors.cursor import Cursor
from tests.support.records import EPOCH, record

times = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC))


def written(body: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(body)).rstrip(b"=").decode()


@given(times, st.lists(st.uuids().map(str), max_size=5))
def test_a_cursor_is_read_back_as_it_was_written(before: datetime, seen: list[str]) -> None:
    cursor = Cursor(before, tuple(seen))

    assert Cursor.decode(cursor.encode()) == cursor
    assert set(cursor.encode()) <= set(string.ascii_letters + string.digits + "-_")


def test_it_remembers_the_last_time_of_a_page_and_that_times_images() -> None:
    page = [record("a", minute=3), record("b", minute=2), record("c", minute=2)]

    assert Cursor.after(page, None) == Cursor(EPOCH + timedelta(minutes=2), (point_id("b"), point_id("c")))


def test_images_of_one_time_add_up_over_the_pages() -> None:
    first = Cursor.after([record("a", minute=2)], None)
    second = Cursor.after([record("b", minute=2)], first)
    third = Cursor.after([record("c", minute=1)], second)

    assert set(second.seen) == {point_id("a"), point_id("b")}
    assert third.seen == (point_id("c"),)


def test_a_time_of_another_zone_is_the_same_moment() -> None:
    assert Cursor.decode(written(["2024-01-01T01:00:00+01:00", []])) == Cursor(EPOCH, ())


UUID = str(uuid.UUID(int=1))
TIME = EPOCH.isoformat()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not base64!",
        "é",
        "A",
        written(None),
        written([]),
        written([TIME]),
        written([TIME, [UUID], 1]),
        written([1, []]),
        written(["yesterday", []]),
        written(["0001-01-01T00:00:00+14:00", []]),
        written(["9999-12-31T23:59:59-14:00", []]),
        written([TIME, 1]),
        written([TIME, [1]]),
        written([TIME, ["x"]]),
        written({"before": TIME, "seen": []}),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor, match="start without one"):
        Cursor.decode(text)


@given(st.text())
def test_no_text_at_all_breaks_it(text: str) -> None:
    try:
        Cursor.decode(text)
    except InvalidCursor:
        return
    pytest.fail("a random text was taken for a cursor")
