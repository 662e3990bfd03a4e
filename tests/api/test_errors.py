from __future__ import annotations

import base64
import io
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from image_similarity.domain.errors import StoreUnavailable
from tests.support.sample_images import encoded, photo, png_chunk
from tests.support.servers import RunningServer, make_settings, running_server, wait_for

PHOTO = encoded(photo(), "JPEG")
HUGE = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
HUGE += png_chunk(b"IDAT", b"x")
"""A header without pixels."""
TEXT = base64.b64encode(PHOTO).decode()


def check_problem(answer: httpx.Response, status: int, code: str, *words: str) -> None:
    """Assert that an answer is a whole problem document whose text says what to change."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"].endswith(code)
    assert problem["title"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    for word in words:
        assert word in problem["detail"]
    assert "Traceback" not in answer.text
    assert 'File "' not in answer.text


@pytest.mark.parametrize("path", ["/search", "/index"])
def test_bad_bodies_are_told_apart(server: RunningServer, path: str) -> None:
    post = server.http.post
    check_problem(post(path, content=b"{", headers={"content-type": "application/json"}), 400, "invalid_json")
    check_problem(post(path, json=[1]), 422, "invalid_request", "object")
    check_problem(post(path, json={}), 422, "invalid_request", "image_data")
    check_problem(post(path, content=b"x", headers={"content-type": "text/plain"}), 415, "unsupported_media_type")
    broken = {"content-type": "multipart/form-data; boundary=x"}
    check_problem(post(path, content=b"--x\r\nnot a header\r\n\r\n", headers=broken), 400, "invalid_multipart")
    check_problem(post(path, content=b"", headers={"content-type": "multipart/form-data"}), 400, "invalid_multipart")
    check_problem(post(path, files={"picture": ("x", PHOTO)}), 422, "invalid_request", '"picture"', '"image"')
    check_problem(post(path, files={"x": (None, b"1")}), 422, "invalid_request")
    check_problem(
        post(path, files={"image": ("x", PHOTO)}, data={"no_such_field": "1"}), 422, "invalid_request", "no_such_field"
    )


@pytest.mark.parametrize("data", ["", "%%%", 7, None, "data:image/png,abc", "data:image/png;base64", "AAA", "é"])
def test_image_data_that_is_not_base64_is_named(server: RunningServer, data: object) -> None:
    check_problem(server.http.post("/search", json={"image_data": data}), 422, "invalid_image_data", "image_data")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"query": "a dog"}, "query: Input should be a list."),
        ({"query": {"text": "a dog"}}, "query: Input should be a list."),
        ({"query": ["a dog"]}, "query.0: Input should be an object."),
        ({"query": [{"text": "a dog"}] * 17}, "query: List should have at most 16 items, not 17."),
        ({"text": "a dog", "filter": []}, "filter: Input should be an object."),
        ({"positive": [7]}, "positive.0: Input should be the id of an indexed image, or an object with one of"),
        ({"negative": [{"text": "a dog"}]}, "negative.0: Input should be the id of an indexed image, or an object"),
    ],
)
def test_a_wrong_type_is_told_in_words_of_json(server: RunningServer, body: dict[str, Any], detail: str) -> None:
    answer = server.http.post("/search", json=body)
    check_problem(answer, 422, "invalid_request")
    assert answer.json()["detail"].startswith(detail)
    verdict = server.http.post("/feedback", json={"image_id": "x", "verdict": "positive"})
    assert verdict.json()["detail"] == "It names the query, by query_id or query or both."


@pytest.mark.parametrize(
    ("field", "value"),
    [("top_k", 0), ("top_k", 1001), ("top_k", "5"), ("threshold", 1.5), ("with_metadata", 1), ("surprise", 1)],
)
def test_a_wrong_parameter_is_named_and_the_image_is_not_echoed(
    server: RunningServer, field: str, value: object
) -> None:
    answer = server.http.post("/search", json={"image_data": TEXT, field: value})
    check_problem(answer, 422, "invalid_request", field)
    assert answer.json()["errors"][0]["field"] == field
    assert len(answer.content) < 1000


def test_a_wrong_filter_and_a_wrong_cursor_have_codes_of_their_own(server: RunningServer) -> None:
    answer = server.http.post("/search", json={"image_data": TEXT, "filter": {"a": {"like": 1}}})
    check_problem(answer, 422, "invalid_filter", "like")
    check_problem(server.http.get("/images", params={"cursor": "abc"}), 422, "invalid_cursor")
    check_problem(server.http.get("/images", params={"limit": 0}), 422, "invalid_request", "limit")


def test_bad_images_are_told_apart_and_leave_nothing_behind(server: RunningServer) -> None:
    cases = [
        (b"just some text, no image at all", 415, "unsupported_format"),
        (b"", 415, "unsupported_format"),
        (PHOTO[: len(PHOTO) // 2], 422, "image_undecodable"),
        (PHOTO[:20], 422, "image_undecodable"),
        (HUGE, 413, "image_too_large"),
    ]

    def stored() -> list[Path]:
        images = server.settings.data_dir / "images"
        return sorted(
            path for kind in ("originals", "thumbnails") for path in (images / kind).rglob("*") if path.is_file()
        )

    # Not empty where a test before this one deleted images that can still be restored.
    before = stored()
    for data, status, code in cases:
        for path in ("/search", "/index"):
            check_problem(server.http.post(path, files={"image": ("x", data)}), status, code)
    assert server.http.get("/images").json()["images"] == []
    assert stored() == before


def test_too_much_metadata_is_refused(server: RunningServer) -> None:
    answer = server.http.post("/index", json={"image_data": TEXT, "metadata": {"x": "y" * 70_000}})
    check_problem(answer, 422, "invalid_request", "metadata", "65536")


def test_unknown_paths_and_methods_are_problems_too(server: RunningServer) -> None:
    check_problem(server.http.get("/nothing"), 404, "not_found")
    answer = server.http.put("/index")
    check_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_a_sane_request_id_is_kept_and_another_replaced(server: RunningServer) -> None:
    assert server.http.get("/ready", headers={"X-Request-ID": "abc-1.2:3"}).headers["x-request-id"] == "abc-1.2:3"
    odd = server.http.get("/ready", headers={"X-Request-ID": "a b;c" * 50}).headers["x-request-id"]
    assert odd != "a b;c" * 50
    assert len(odd) == 36


def test_a_mistake_of_ours_is_a_500_that_tells_nothing(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(server.engine, "list_images", broken)
    answer = server.http.get("/images")
    check_problem(answer, 500, "internal_error", "log")
    assert "secret" not in answer.text
    assert server.http.get("/ready").status_code == 200


def test_a_store_in_the_process_that_fails_turns_ready_off_but_not_health(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise StoreUnavailable("The vector store failed: disk full")

    with monkeypatch.context() as patch:
        for method in ("check", "info"):
            patch.setattr(server.engine._vectors, method, broken)
        wait_for(lambda: server.http.get("/ready").status_code == 503, "ready does not turn off")
        check_problem(server.http.get("/ready"), 503, "not_ready", "disk full")
        assert server.http.get("/ready").headers["retry-after"]
        health = server.http.get("/health")
        assert (health.status_code, health.json()["status"]) == (200, "unhealthy")
        found = health.json()["services"]["vector_store"]
        assert (found["status"], found["detail"]) == ("unavailable", "The vector store failed: disk full")
        assert 'image_similarity_part_up{part="vector_store"} 0.0' in httpx.get(f"{server.url}/metrics").text
        check_problem(server.http.get("/stats"), 503, "store_unavailable", "disk full")
    wait_for(lambda: server.http.get("/ready").status_code == 200, "ready does not turn on again")


def test_a_storage_that_fails_leaves_the_server_ready(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches need no bucket; with /ready off, all replicas would be out of the balancer at once."""

    async def broken() -> None:
        raise StoreUnavailable("The image storage failed: no route")

    with monkeypatch.context() as patch:
        patch.setitem(server.engine.health._looks, "storage", broken)
        wait_for(lambda: server.http.get("/health").json()["status"] != "healthy", "nobody says that it failed")
        health = server.http.get("/health").json()
        detail = health["services"]["storage"]["detail"]
        assert (health["status"], detail) == ("degraded", "The image storage failed: no route")
        assert server.http.get("/ready").status_code == 200
    wait_for(lambda: server.http.get("/health").json()["status"] == "healthy", "nobody says that it answers again")


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[RunningServer]:
    settings = make_settings(
        tmp_path_factory.mktemp("strict"),
        tiny_checkpoint,
        log_level="ERROR",
        max_body_bytes=50_000,
        max_pixels=100_000,
        max_queue=1,
        api_keys="first-key, second-key",
        cors_origins="https://page.example",
    )
    with running_server(settings) as running:
        yield running


KEY = {"X-API-Key": "second-key"}


def test_a_body_that_declares_too_great_a_length_is_refused_unsent(
    strict_server: RunningServer,
) -> None:
    url = httpx.URL(strict_server.url)
    head = "POST /api/v1/search HTTP/1.1\r\nHost: x\r\nX-API-Key: second-key\r\nConnection: close\r\n"
    with socket.create_connection((url.host, url.port), timeout=60) as connection:
        # Not one of the 60,000 bytes is ever sent, so an answer shows that nobody waited for them.
        connection.sendall(f"{head}Content-Length: 60000\r\n\r\n".encode())
        answer = connection.makefile("rb").read(2000).decode()
    assert answer.startswith("HTTP/1.1 413 ")
    assert "body_too_large" in answer
    assert "50000" in answer


def test_a_body_without_a_length_is_refused_when_it_passes_the_limit(strict_server: RunningServer) -> None:
    chunks = (b"x" * 10_000 for _ in range(20))
    answer = strict_server.http.post("/search", content=chunks, headers={"content-type": "application/json", **KEY})
    check_problem(answer, 413, "body_too_large", "50000")


def test_an_image_over_the_pixel_limit_is_refused(strict_server: RunningServer) -> None:
    large = io.BytesIO()
    photo(400, 300).save(large, "JPEG", quality=50)
    answer = strict_server.http.post("/search", files={"image": ("x", large.getvalue())}, headers=KEY)
    check_problem(answer, 413, "image_too_large", "400", "300", "100,000")


def test_without_a_key_the_api_is_closed_and_probes_and_metrics_stay_open(strict_server: RunningServer) -> None:
    for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}, {"X-API-Key": "sécond"}):
        raw = {name: value.encode() for name, value in headers.items()}
        answer = strict_server.http.get("/images", headers=raw)
        check_problem(answer, 401, "unauthorized", "X-API-Key")
        assert answer.headers["www-authenticate"] == "Bearer"
    for headers in ({"X-API-Key": "first-key"}, KEY, {"Authorization": "Bearer second-key"}):
        assert strict_server.http.get("/images", headers=headers).status_code == 200
    assert strict_server.http.get("/health").status_code == 200
    assert strict_server.http.get("/ready").status_code == 200
    assert httpx.get(f"{strict_server.url}/metrics").status_code == 200


def test_other_pages_may_call_only_where_they_are_allowed_to(strict_server: RunningServer) -> None:
    def allowed(origin: str) -> str | None:
        return strict_server.http.get("/ready", headers={"Origin": origin}).headers.get("access-control-allow-origin")

    assert allowed("https://page.example") == "https://page.example"
    assert allowed("https://evil.example") is None


def test_a_full_queue_answers_503_with_retry_after_and_recovers(
    strict_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    batching = strict_server.engine._embedder._batching
    entered, free = threading.Event(), threading.Event()
    original = batching._encode

    def blocked(batch: Any) -> Any:
        entered.set()
        assert free.wait(60)
        return original(batch)

    monkeypatch.setattr(batching, "_encode", blocked)
    first = encoded(photo(seed=50), "JPEG", quality=40)
    second = encoded(photo(seed=51), "JPEG", quality=40)
    answers: list[httpx.Response] = []
    thread = threading.Thread(
        target=lambda: answers.append(
            httpx.post(f"{strict_server.url}/api/v1/search", files={"image": ("x", first)}, headers=KEY, timeout=60)
        )
    )
    thread.start()
    assert entered.wait(60)
    refused = strict_server.http.post("/search", files={"image": ("x", second)}, headers=KEY)
    free.set()
    thread.join(60)
    check_problem(refused, 503, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    assert answers[0].status_code == 200
    assert strict_server.http.post("/search", files={"image": ("x", second)}, headers=KEY).status_code == 200
