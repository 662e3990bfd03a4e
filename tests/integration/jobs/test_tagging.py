"""Descriptions are written by the workers; the server that takes an image in never loads the model for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.captions import build_captioner
from tests.support.jobs import finished, serving, status, submit, working
from tests.support.qdrant_process import QdrantProcess
from tests.support.rabbitmq import RabbitMQ
from tests.support.sample_images import encoded, photo
from tests.support.servers import API, PATIENCE, free_port

PHOTO = encoded(photo(seed=1), "JPEG")


@pytest.fixture
def stack(broker: RabbitMQ, tmp_path: Path, tiny_checkpoint: Path) -> Iterator[tuple[httpx.Client, dict[str, str]]]:
    """A server that knows of a captioner but could not load it, and the settings of a worker that can."""
    qdrant = QdrantProcess(tmp_path)
    qdrant.start()
    env = {
        "DATA_DIR": str(tmp_path / "data"),
        "MODEL_NAME": str(tiny_checkpoint),
        "DEVICE": "cpu",
        "BROKER_URL": broker.url,
        "QDRANT_URL": qdrant.url,
        "QDRANT_PREFER_GRPC": "false",
        "TAGGER": "caption",
        "CAPTION_MODEL_NAME": str(tmp_path / "only-the-workers-have-it"),
    }
    port = free_port()
    with (
        serving(env, tmp_path / "server.log", port),
        httpx.Client(base_url=f"http://127.0.0.1:{port}{API}", timeout=PATIENCE) as http,
    ):
        build_captioner(tmp_path / "only-the-workers-have-it")
        yield http, env
    qdrant.stop()


def image(http: httpx.Client, image_id: str) -> dict[str, Any]:
    return dict(http.get(f"/images/{image_id}").json())


def test_workers_describe_single_images_and_batches(stack: tuple[httpx.Client, dict[str, str]], tmp_path: Path) -> None:
    http, env = stack
    answer = http.post("/index", files={"image": ("x", PHOTO)}, data={"image_id": "one"}).json()
    assert answer["message"] == "indexed"
    assert status(http, answer["tagging_job"])["state"] == "queued"
    assert image(http, "one")["tagging"] is None
    http.patch("/images/one", json={"metadata": {"owner": "kim"}})

    batch = submit(http, {"two": encoded(photo(seed=2), "JPEG")})
    with working(env, tmp_path / "worker.log"):
        assert finished(http, answer["tagging_job"])["state"] == "completed"
        assert finished(http, batch)["counts"]["indexed"] == 1

    one, two = image(http, "one"), image(http, "two")
    assert one["tagging"]["filled"] == two["tagging"]["filled"] == ["description"]
    assert sorted(one["metadata"]) == ["description", "owner"]
    assert two["metadata"]["description"]
