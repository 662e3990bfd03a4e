"""Bulk jobs in the server's own process: what a killed server had not done, the next one does."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import pytest

from tests.support.crashing_cli import DEADLY, SLOW
from tests.support.jobs import finished, indexed_images, pictures, serving, status, stored_originals, submit
from tests.support.sample_images import encoded, photo
from tests.support.servers import API, PATIENCE, free_port, wait_for


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {
        "DATA_DIR": str(tmp_path / "data"),
        "MODEL_NAME": "mini",
        "DEVICE": "cpu",
        "BATCH_SIZE": "8",
        "DECODE_THREADS": "2",
    }


def test_after_kill_9_in_the_middle_nothing_is_lost_and_nothing_done_twice(env: dict[str, str], tmp_path: Path) -> None:
    images = {image_id: data + SLOW for image_id, data in pictures(60).items()}
    for image_id in ("image-0003", "image-0030", "image-0058"):
        images[image_id] = images[image_id][:150]
    port = free_port()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}{API}", timeout=PATIENCE) as http:
        with serving(env, tmp_path / "log", port) as process:
            job_id = submit(http, images)
            wait_for(lambda: status(http, job_id)["counts"]["processed"], "the job does not begin")
            process.kill()
            process.wait()
        with serving(env, tmp_path / "log", port) as process:
            resumed = status(http, job_id)
            assert 0 < resumed["counts"]["processed"] < 60, "the server was not killed in the middle"
            job = finished(http, job_id)
            assert job["state"] == "completed_with_errors"
            assert (job["counts"]["processed"], job["counts"]["failed"]) == (60, 3)
            assert {failure["image_id"] for failure in job["failures"]} == {"image-0003", "image-0030", "image-0058"}
            expected = {
                image_id: hashlib.sha256(data).hexdigest()
                for image_id, data in images.items()
                if image_id not in {"image-0003", "image-0030", "image-0058"}
            }
            assert indexed_images(http) == expected
            assert stored_originals(tmp_path / "data" / "images") == sorted(expected.values())
            assert not (tmp_path / "data" / "pending").exists()
        # The report outlives the process too.
        with serving(env, tmp_path / "log", port):
            assert status(http, job_id) == job


def test_a_graceful_stop_in_the_middle_is_resumed_too(env: dict[str, str], tmp_path: Path) -> None:
    images = {image_id: data + SLOW for image_id, data in pictures(40).items()}
    port = free_port()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}{API}", timeout=PATIENCE) as http:
        with serving(env, tmp_path / "log", port):
            job_id = submit(http, images)
            wait_for(lambda: status(http, job_id)["counts"]["processed"], "the job does not begin")
        with serving(env, tmp_path / "log", port):
            assert finished(http, job_id)["counts"]["processed"] == 40
            assert len(indexed_images(http)) == 40
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_an_image_that_kills_the_server_is_given_up_its_neighbours_not(env: dict[str, str], tmp_path: Path) -> None:
    images = pictures(8)
    images["image-0003"] = encoded(photo(64, 48, seed=3), "PNG") + DEADLY
    port = free_port()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}{API}", timeout=PATIENCE) as http:
        job_id, deaths = "", 0
        while deaths < 10:
            try:
                with serving(env, tmp_path / "log", port) as process:
                    job_id = job_id or submit(http, images)
                    job = finished(http, job_id)
                    # What the job left is more than a report: the server goes on serving.
                    assert set(indexed_images(http)) == set(images) - {"image-0003"}
                    assert process.poll() is None
                    break
            except (httpx.TransportError, AssertionError):
                assert process.poll() == -9
                deaths += 1
    assert 1 <= deaths <= 3
    assert job["state"] == "completed_with_errors"
    assert [(failure["image_id"], failure["code"]) for failure in job["failures"]] == [("image-0003", "poison_chunk")]
