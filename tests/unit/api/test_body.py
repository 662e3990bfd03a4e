"""JSON bodies: how much of a bad one is looked at, and where."""

from __future__ import annotations

import threading
from typing import Any

import orjson
import pytest
from fastapi import Request

from image_similarity.api.requests import body
from image_similarity.api.requests.body import JSON_VALUES, parse_json, read_fields
from image_similarity.api.schemas.images import IndexParameters
from image_similarity.domain.errors import BodyTooLarge


class Looked(bytes):
    """A body that notes how much of it was looked at."""

    furthest = 0

    def count(self, *given: Any) -> int:
        self.furthest = max(self.furthest, given[2])
        return super().count(*given)


@pytest.mark.parametrize("item", [b"0,", b"{},", b"[],", b"[[[[[["])
def test_counting_stops_where_there_are_too_many_values(item: bytes) -> None:
    bomb = Looked(b'{"image_data":"","a":[' + item * (4_000_000 // len(item)))
    with pytest.raises(BodyTooLarge, match=str(JSON_VALUES)):
        parse_json(bomb)
    assert bomb.furthest < 4 * JSON_VALUES


def test_an_image_of_base64_is_one_value() -> None:
    assert parse_json(b'{"image_data": "%s", "a": [1, 2]}' % (b"A" * 3_000_000))["a"] == [1, 2]


def request_of(content: bytes) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    return Request({"type": "http", "headers": [(b"content-type", b"application/json")]}, receive)


@pytest.mark.parametrize(("size", "elsewhere"), [(100, False), (2_000_000, True)])
async def test_a_large_body_is_read_in_another_thread(
    monkeypatch: pytest.MonkeyPatch, size: int, *, elsewhere: bool
) -> None:
    readers: list[int] = []
    loads = orjson.loads

    def noting(content: bytes) -> Any:
        readers.append(threading.get_ident())
        return loads(content)

    monkeypatch.setattr(body.orjson, "loads", noting)
    image, fields = await read_fields(request_of(b'{"image_data": "%s", "top_k": 3}' % (b"A" * size)), max_fields=20)
    assert (len(image or b""), fields) == (size * 3 // 4, {"top_k": 3})
    assert [reader != threading.get_ident() for reader in readers] == [elsewhere]


async def test_a_name_across_two_pieces_of_a_body_is_found() -> None:
    for shift in range(14):
        filler = b"a" * (body._WINDOW - shift)
        long = b'{"x": "%s", "image_data": "%s"}' % (filler, b"A" * 1_200_000)
        image, _ = await read_fields(request_of(long), max_fields=20)
        assert len(image or b"") == 900_000


def test_metadata_is_an_object_and_its_values_are_not_looked_at_one_by_one() -> None:
    metadata = {"a": object()}
    assert IndexParameters.model_validate({"metadata": metadata}).metadata is metadata
    with pytest.raises(ValueError, match="dictionary"):
        IndexParameters.model_validate({"metadata": [1]})
