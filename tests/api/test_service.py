from __future__ import annotations

import gzip
from datetime import UTC, datetime

import httpx
from prometheus_client.parser import text_string_to_metric_families

from image_similarity import __version__
from image_similarity.api.in_flight import PIECE
from image_similarity.engine.health import STALE
from tests.support.sample_images import encoded, photo
from tests.support.servers import RunningServer, wait_for

PHOTO = encoded(photo(), "JPEG")


def test_health_tells_version_time_and_parts(server: RunningServer) -> None:
    health = server.http.get("/health").json()
    assert (health["status"], health["version"]) == ("healthy", __version__)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(health["timestamp"])).total_seconds()) < 3600
    assert {part: entry["status"] for part, entry in health["services"].items()} == {
        "model": "ok",
        "vector_store": "ok",
        "storage": "ok",
        "disk": "ok",
        "cache": "ok",
        "jobs": "ok",
    }
    assert " on cpu in " in health["services"]["model"]["detail"]
    ages = {part: entry["checked_seconds_ago"] for part, entry in health["services"].items()}
    assert ages.pop("model") is ages.pop("cache") is None, "known at any moment"
    assert all(0 <= age <= STALE for age in ages.values())


def test_large_json_is_compressed_in_one_piece(server: RunningServer) -> None:
    with server.http.stream("GET", f"{server.url}/openapi.json", headers={"Accept-Encoding": "gzip"}) as answer:
        sent = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert len(gzip.decompress(sent)) > PIECE > len(sent) == int(answer.headers["content-length"])


def test_ready_says_so(server: RunningServer) -> None:
    assert server.http.get("/ready").json() == {"ready": True}


def test_stats_count_images_and_cache_hits(server: RunningServer) -> None:
    before = server.http.get("/stats").json()
    server.index(PHOTO, image_id="a")
    for _ in range(3):
        server.search(PHOTO)
    after = server.http.get("/stats").json()
    assert after["collection"]["images"] == before["collection"]["images"] + 1 == 1
    tier = after["cache"][0]
    assert tier["tier"] == "l1"
    assert tier["hits"]["result"] - before["cache"][0]["hits"]["result"] == 2
    assert after["model"]["name"] == after["collection"]["model"]
    assert after["model"]["dimension"] == after["collection"]["dimension"] == 64
    assert after["queue"] == {"depth": 0, "limit": server.settings.max_queue}
    assert after["recommendations"] == []
    assert after["uptime_seconds"] >= before["uptime_seconds"] >= 0


def test_a_field_that_was_filtered_on_has_an_index(server: RunningServer) -> None:
    server.index(PHOTO, image_id="a", metadata='{"indexed_by_test": "x"}')
    server.search(PHOTO, filter='{"indexed_by_test": "x"}')
    server.search(PHOTO, filter='{"no_image_has_this": "x"}')

    def indexed() -> list[str]:
        return server.http.get("/stats").json()["collection"]["field_indexes"]

    wait_for(lambda: "indexed_by_test" in indexed(), "no index was made")
    assert "no_image_has_this" not in indexed()


def test_metrics_measure_each_stage_and_route(server: RunningServer) -> None:
    before = samples(server)
    server.index(PHOTO, image_id="a")
    server.search(encoded(photo(seed=9), "PNG"))
    server.search(encoded(photo(seed=9), "PNG"))
    server.http.get("/images/a/thumbnail")
    server.http.get("/images/nobody")
    after = samples(server)

    def grown(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return after.get(key, 0) - before.get(key, 0)

    requests = "image_similarity_http_request_duration_seconds_count"
    assert grown(requests, method="POST", route="/api/v1/search", status="200") == 2
    assert grown(requests, method="GET", route="/api/v1/images/{image_id}/thumbnail", status="200") == 1
    assert grown(requests, method="GET", route="/api/v1/images/{image_id}", status="404") == 1
    stages = "image_similarity_stage_duration_seconds_count"
    assert grown(stages, stage="decode") == 2
    assert grown(stages, stage="query") == 1
    assert grown("image_similarity_encode_batch_size_sum") == grown("image_similarity_encode_batch_size_count") > 0
    cache = "image_similarity_cache_requests_total"
    assert grown(cache, tier="l1", kind="result", outcome="hit") == 1
    assert grown("image_similarity_images_indexed_total") == 1
    assert after["image_similarity_part_up", frozenset({("part", "broker")})] == 1
    assert after["image_similarity_encode_queue_depth", frozenset()] == 0
    assert after["process_resident_memory_bytes", frozenset()] > 0


def test_metrics_tell_how_many_images_there_are_a_few_seconds_later(server: RunningServer) -> None:
    server.index(PHOTO, image_id="a")
    wait_for(lambda: samples(server)["image_similarity_collection_images", frozenset()] == 1, "nobody counts")


def samples(server: RunningServer) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = httpx.get(f"{server.url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
