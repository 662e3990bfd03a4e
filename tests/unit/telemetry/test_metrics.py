"""Metrics: each application has its own, and they read as Prometheus wants them."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from image_similarity.telemetry.metrics import Metrics


def test_two_applications_in_one_process_do_not_add_up() -> None:
    one, two = Metrics(), Metrics()
    one.indexed.inc(3)

    assert one.registry.get_sample_value("image_similarity_images_indexed_total") == 3
    assert two.registry.get_sample_value("image_similarity_images_indexed_total") == 0


def test_what_is_rendered_can_be_read_and_every_metric_is_explained() -> None:
    metrics = Metrics()
    metrics.requests.labels("GET", "/api/v1/stats", 200).observe(0.01)
    metrics.image_queue.depth.set(4)
    families = {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}

    assert families["image_similarity_encode_queue_depth"].samples[0].value == 4
    assert families["image_similarity_http_request_duration_seconds"].type == "histogram"
    assert [name for name, family in families.items() if not family.documentation] == []
    assert "process_resident_memory_bytes" in families or "python_info" in families
    assert not any(name.endswith("_created") for name in families)


def test_names_carry_the_product_and_their_unit() -> None:
    for family in Metrics().registry.collect():
        if family.name.startswith(("process_", "python_")):
            continue
        assert family.name.startswith("image_similarity_")
        if family.type == "histogram" and "size" not in family.name:
            assert family.name.endswith("_seconds")


def stage(metrics: Metrics, name: str, suffix: str) -> float | None:
    return metrics.registry.get_sample_value(f"image_similarity_stage_duration_seconds_{suffix}", {"stage": name})


def test_a_stage_is_timed() -> None:
    metrics = Metrics()
    for _ in range(2):
        with metrics.stage("decode"):
            pass

    assert stage(metrics, "decode", "count") == 2
    assert stage(metrics, "decode", "sum") is not None
    assert stage(metrics, "encode", "count") is None


def test_a_stage_that_fails_is_timed_too_and_its_error_goes_on() -> None:
    metrics = Metrics()
    with pytest.raises(KeyError), metrics.stage("query"):
        raise KeyError

    assert stage(metrics, "query", "count") == 1


def test_the_placement_of_a_collection_is_shown() -> None:
    metrics = Metrics()
    metrics.set_placement(shards=3, wanted=6, active=4, on_one_node=2)
    shown = {
        name: metrics.registry.get_sample_value(f"image_similarity_collection_{name}")
        for name in ("shards", "copies_wanted", "copies_active", "shards_on_one_node")
    }
    assert shown == {"shards": 3, "copies_wanted": 6, "copies_active": 4, "shards_on_one_node": 2}
