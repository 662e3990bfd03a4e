"""What a request may cost: an invalid one never more than a valid one."""

from __future__ import annotations

import json
import re
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import BaseModel, ValidationError

from image_similarity.api.errors import MAX_ERRORS
from image_similarity.api.requests.body import JSON_BYTES
from image_similarity.api.schemas.feedback import FeedbackRequest
from image_similarity.api.schemas.images import MAX_FIELDS, IndexParameters, PatchRequest
from image_similarity.api.schemas.search import LooksFields, SearchParameters
from image_similarity.engine import answer_size
from tests.api.test_errors import PHOTO, TEXT, check_problem
from tests.support.servers import RunningServer, wait_for

MANY = 20_000
BOMBS: list[tuple[str, dict[str, Any]]] = [
    ("/search", {"positive": [0] * MANY}),
    ("/search", {"negative": [{}] * MANY}),
    ("/search", {"query": [{}] * MANY}),
    ("/search", {"query": [{str(number): 0 for number in range(MANY)}]}),
    ("/search", {str(number): 0 for number in range(MANY)}),
    ("/search", {"query": [{str(number): 0 for number in range(MAX_FIELDS)}] * 16}),
    ("/search", {"x" * 100_000: 0}),
    ("/search", {"text": "a dog", "filter": {"a": {"x" * 100_000: 1}}}),
    ("/search/text", {str(number): 0 for number in range(MANY)}),
    ("/index", {"image_data": TEXT} | {str(number): 0 for number in range(MANY)}),
    ("/index/batch", {"images": [{"storage_key": "inbox/x"} | {str(number): 0 for number in range(MANY)}]}),
    ("/feedback", {"image_id": "x", "verdict": "positive", "query": {"query": [0] * MANY}}),
    ("/feedback", {str(number): 0 for number in range(MANY)}),
]


@pytest.mark.parametrize(("path", "body"), BOMBS)
def test_an_invalid_request_gets_a_short_answer(server: RunningServer, path: str, body: dict[str, Any]) -> None:
    answer = server.http.post(path, json=body)
    assert answer.status_code == 422
    assert len(answer.json().get("errors", [])) <= MAX_ERRORS
    assert len(answer.content) < 10_000


@pytest.mark.parametrize(
    ("schema", "fields"),
    [
        (LooksFields, {"positive": [0] * MANY}),
        (LooksFields, {"negative": [{}] * MANY}),
        (LooksFields, {"query": [{}] * MANY}),
        (LooksFields, {str(number): 0 for number in range(MANY)}),
        (SearchParameters, {str(number): 0 for number in range(MANY)}),
        (IndexParameters, {str(number): 0 for number in range(MANY)}),
        (PatchRequest, {str(number): 0 for number in range(MANY)}),
        (FeedbackRequest, {"image_id": "x", "verdict": "positive", "query": {"query": [0] * MANY}}),
    ],
)
def test_validation_stops_before_it_looks_at_each_item(schema: type[BaseModel], fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        schema.model_validate(fields)
    assert raised.value.error_count() == 1


def test_json_without_an_image_has_a_limit_of_its_own(server: RunningServer) -> None:
    long = {"text": "a dog", "filter": {"a": "x" * JSON_BYTES}}
    for path in ("/search", "/search/text", "/images/x/similar", "/feedback"):
        check_problem(server.http.post(path, json=long), 413, "body_too_large", str(JSON_BYTES))


@pytest.mark.parametrize("items", [b"{}", b"0", b"[]"])
def test_json_of_more_values_than_any_request_needs_is_refused_unread(server: RunningServer, items: bytes) -> None:
    body = b'{"image_data": "", "query": [%s]}' % b",".join([items] * (2**20 + 1))
    for path in ("/search", "/index", "/index/batch"):
        answer = server.http.post(path, content=body, headers={"content-type": "application/json"})
        check_problem(answer, 413, "body_too_large", "values")


def test_a_large_image_is_no_json_without_an_image(server: RunningServer) -> None:
    answer = server.http.post("/search", json={"image_data": "A" * (2 * JSON_BYTES)})
    check_problem(answer, 415, "unsupported_format")


def test_a_batch_has_no_more_images_than_a_job(server: RunningServer) -> None:
    jobs = server.http.get("/jobs").json()
    images = [{"storage_key": f"inbox/{number}"} for number in range(server.settings.max_batch_images + 1)]
    answer = server.http.post("/index/batch", json={"images": images})
    check_problem(answer, 422, "invalid_request", str(server.settings.max_batch_images))
    assert server.http.get("/jobs").json() == jobs


@pytest.mark.parametrize("path", ["/search", "/index", "/index/batch", "/feedback"])
def test_json_says_that_it_is_json(server: RunningServer, path: str) -> None:
    body = json.dumps({"text": "a dog", "image_data": TEXT}).encode()
    check_problem(server.http.post(path, content=body), 415, "unsupported_media_type", "application/json")
    answer = server.http.post(path, content=b"{", headers={"content-type": "Application/JSON; charset=utf-8"})
    check_problem(answer, 400, "invalid_json")


def test_a_form_in_an_odd_charset_is_refused(server: RunningServer) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\n%s\r\n--x--\r\n' % (b"a" * 1_000_000)
    for path in ("/search", "/index", "/index/batch"):
        for charset in ("punycode", "undefined"):
            form = {"content-type": f"multipart/form-data; boundary=x; charset={charset}"}
            check_problem(server.http.post(path, content=body, headers=form), 400, "invalid_multipart", charset)


def test_a_form_has_one_image_and_fields_of_utf_8(server: RunningServer) -> None:
    two = [("image", ("a", b"x")), ("image", ("b", b"x"))]
    check_problem(server.http.post("/search", files=two), 422, "invalid_request", "two files")
    check_problem(server.http.post("/search", files={"text": (None, b"\xff")}), 422, "invalid_request", "UTF-8")
    many = [("text", (None, b"x"))] * 100
    check_problem(server.http.post("/search", files=many), 400, "invalid_multipart", "parts")
    long = {"text": (None, b"x" * (JSON_BYTES + 1))}
    check_problem(server.http.post("/search", files=long), 413, "body_too_large", "text")


def test_a_body_on_its_way_is_counted_until_its_client_has_gone(server: RunningServer) -> None:
    def held() -> float:
        text = server.http.get(f"{server.url}/metrics").text
        return float(re.findall(r"^image_similarity_bytes_in_flight (\S+)$", text, re.MULTILINE)[0])

    assert held() == 0
    there = urlsplit(server.url)
    with socket.create_connection((there.hostname, there.port)) as client:
        client.sendall(
            b"POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 10000000\r\n\r\n{"
        )
        wait_for(lambda: held() >= 10_000_000, "the body is not counted")
    wait_for(lambda: held() == 0, "what a client that has gone held is not let go of")


def test_an_answer_beyond_the_limit_says_what_to_ask_instead(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_size, "MAX_ANSWER_BYTES", 1000)
    for number in range(3):
        server.index(PHOTO, image_id=f"bounds-{number}", metadata=json.dumps({"a": "x" * 400}))
    body: dict[str, Any] = {"image_id": "bounds-0", "top_k": 2}
    check_problem(server.http.post("/search", json={**body, "threshold": -1.0}), 422, "answer_too_large", "top_k")
    assert server.http.post("/search", json={**body, "top_k": 1}).status_code == 200
    assert server.http.post("/search", json={**body, "with_metadata": False}).status_code == 200
    for path in ("/search", "/images/bounds-0/similar"):
        asked = {"image_id": "bounds-0"} if path == "/search" else {}
        asked |= {"top_k": 3, "threshold": -1.0, "group_by": "a", "group_size": 3}
        check_problem(server.http.post(path, json=asked), 422, "answer_too_large", "top_k")
    check_problem(server.http.get("/images"), 422, "answer_too_large", "limit")
    assert len(server.http.get("/images", params={"limit": 2}).json()["images"]) == 2
