"""Workers over a real RabbitMQ, killed at the worst moments: every image once, and every job ends."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.integration.jobs.conftest import Stack
from tests.support.crashing_cli import DEADLY, SLOW
from tests.support.jobs import finished, indexed_images, pictures, status, stored_originals, submit, working
from tests.support.sample_images import encoded, photo
from tests.support.servers import PATIENCE, wait_for


@pytest.fixture(autouse=True)
def empty_collection(stack: Stack) -> None:
    for image_id in indexed_images(stack.http):
        stack.http.delete(f"/images/{image_id}")


def slow(count: int) -> dict[str, bytes]:
    return {image_id: data + SLOW for image_id, data in pictures(count).items()}


def assert_each_once(stack: Stack, images: dict[str, bytes]) -> None:
    """Compare by id and by content; nothing may be left of what was uploaded."""
    expected = {image_id: hashlib.sha256(data).hexdigest() for image_id, data in images.items()}
    assert indexed_images(stack.http) == expected
    # Those of images that a test before this one removed may still be waiting for the sweep.
    assert set(stored_originals(stack.folder / "data" / "images")) >= set(expected.values())
    wait_for(lambda: not (stack.folder / "data" / "pending").exists(), "uploads are left")


def waiting(stack: Stack) -> int:
    return int(stack.http.get("/stats").json()["jobs"]["waiting"])


def some_done(stack: Stack, job_id: str) -> None:
    wait_for(lambda: status(stack.http, job_id)["counts"]["processed"], "the job does not begin")


@contextmanager
def restarting_worker(stack: Stack) -> Iterator[list[int]]:
    """Keep a worker running, as compose does; the list gets the exit status of each that ends by itself."""
    ends: list[int] = []
    over = threading.Event()

    def keep() -> None:
        while not over.is_set():
            try:
                with working(stack.env, stack.log) as process:
                    while process.poll() is None and not over.is_set():
                        time.sleep(0.05)
            except (AssertionError, httpx.TransportError):
                pass
            if not over.is_set():
                ends.append(process.returncode)

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield ends
    finally:
        over.set()
        thread.join(PATIENCE)


def test_chunks_wait_in_the_broker_until_a_worker_takes_them(stack: Stack) -> None:
    images = pictures(60)
    corrupt = {"image-0001": images["image-0001"][:100], "image-0020": b"text", "image-0059": b""}
    job_id = submit(stack.http, images | corrupt)
    wait_for(lambda: waiting(stack) == 8, "the chunks do not arrive in the broker")
    assert stack.metric("image_similarity_job_queue_depth") == 8
    assert status(stack.http, job_id)["state"] == "queued"
    with working(stack.env, stack.log, concurrency=2) as worker:
        job = finished(stack.http, job_id)
        wait_for(lambda: waiting(stack) == 0, "chunks are left in the broker")
        worker.terminate()
        assert worker.wait(PATIENCE) == 0
    assert job["state"] == "completed_with_errors"
    assert job["counts"]["indexed"] == 57
    assert {failure["image_id"]: failure["code"] for failure in job["failures"]} == {
        "image-0001": "image_undecodable",
        "image-0020": "unsupported_format",
        "image-0059": "unsupported_format",
    }
    assert_each_once(stack, {image_id: data for image_id, data in images.items() if image_id not in corrupt})


def test_what_a_killed_worker_had_under_way_is_done_by_the_next_once(stack: Stack) -> None:
    images = slow(60)
    job_id = submit(stack.http, images)
    with working(stack.env, stack.log, concurrency=2) as worker:
        some_done(stack, job_id)
        worker.kill()
        worker.wait()
    assert status(stack.http, job_id)["counts"]["processed"] < 60, "the worker was not killed in the middle"
    with working(stack.env, stack.log, concurrency=2):
        job = finished(stack.http, job_id)
    assert (job["state"], job["counts"]["processed"]) == ("completed", 60)
    assert_each_once(stack, images)


def test_a_worker_that_is_told_to_stop_finishes_what_it_has(stack: Stack) -> None:
    job_id = submit(stack.http, slow(60))
    with working(stack.env, stack.log) as worker:
        some_done(stack, job_id)
        worker.terminate()
        assert worker.wait(PATIENCE) == 0
    done = status(stack.http, job_id)["counts"]
    # Whole chunks, the one that was under way included.
    assert len(indexed_images(stack.http)) == done["processed"] < 60
    stack.http.delete(f"/jobs/{job_id}")


def test_a_broker_that_is_killed_and_comes_back_goes_on(stack: Stack) -> None:
    images = slow(48)
    with working(stack.env, stack.log):
        job_id = submit(stack.http, images)
        some_done(stack, job_id)
        stack.broker.kill()
        assert status(stack.http, job_id)["state"] == "running"
        query = {"image": ("x", images["image-0000"])}
        assert stack.http.post("/search", files=query).status_code == 200, "searches go on"
        health = stack.http.get("/health").json()
        wait_for(
            lambda: stack.http.get("/health").json()["services"]["jobs"]["status"] == "unavailable",
            "nobody says that the broker is gone",
        )
        assert health["services"]["vector_store"]["status"] == "ok"
        assert stack.http.get("/ready").status_code == 200
        later = {f"later-{n}": data for n, data in enumerate(pictures(9, first=900).values())}
        second = submit(stack.http, later)
        stack.broker.start()
        for each, count in ((job_id, 48), (second, 9)):
            job = finished(stack.http, each)
            assert (job["state"], job["counts"]["processed"]) == ("completed", count)
    assert_each_once(stack, images | later)


def test_a_chunk_that_kills_its_workers_ends_as_a_dead_letter(stack: Stack) -> None:
    """Only the image that killed them is named as failed."""
    images = pictures(24)
    images["image-0011"] = encoded(photo(64, 48, seed=11), "PNG") + DEADLY
    before = stack.metric("image_similarity_job_dead_letters")
    with restarting_worker(stack) as deaths:
        job_id = submit(stack.http, images)
        job = finished(stack.http, job_id)
        assert deaths == [-9] * 4
    assert job["state"] == "completed_with_errors"
    assert [(failure["image_id"], failure["code"]) for failure in job["failures"]] == [("image-0011", "poison_chunk")]
    del images["image-0011"]
    assert_each_once(stack, images)
    wait_for(lambda: stack.metric("image_similarity_job_dead_letters") == before + 1, "the dead letter is not counted")


def test_while_the_store_is_away_chunks_are_postponed(stack: Stack) -> None:
    images = pictures(16)
    with working(stack.env, stack.log):
        stack.qdrant.kill()
        try:
            job_id = submit(stack.http, images)
            wait_for(lambda: all(4 in pauses(stack, job_id, chunk) for chunk in (0, 1)), "chunks are not postponed")
            assert status(stack.http, job_id)["counts"]["processed"] == 0
        finally:
            stack.qdrant.start()
        assert finished(stack.http, job_id)["state"] == "completed"
    assert_each_once(stack, images)
    for chunk in (0, 1):
        # Longer each time, and one message only: a copy would have made a pause occur twice.
        assert pauses(stack, job_id, chunk) == [2**n for n in range(len(pauses(stack, job_id, chunk)))]


def pauses(stack: Stack, job_id: str, chunk: int) -> list[int]:
    lines = [json.loads(line) for line in stack.log.read_text().splitlines() if "chunk_postponed" in line]
    return [line["seconds"] for line in lines if (line["job_id"], line["chunk"]) == (job_id, chunk)]


def test_a_second_copy_of_a_message_counts_nothing_twice(stack: Stack) -> None:
    from image_similarity.jobs.celery_app import TASK, make_app

    app = make_app(stack.broker.url, timeout=10)
    images = slow(16)
    job_id = submit(stack.http, images)
    for chunk in (0, 1, 0, 1, 7):
        app.send_task(TASK, (job_id, chunk))
    app.send_task(TASK, ("019a9d5e-4c1b-7d3a-9f5e-2f6f0a1b2c3d", 0))
    app.close()
    with working(stack.env, stack.log, concurrency=4):
        job = finished(stack.http, job_id)
        wait_for(lambda: waiting(stack) == 0, "chunks are left in the broker")
    assert (job["state"], job["counts"]["processed"]) == ("completed", 16)
    assert status(stack.http, job_id) == job
    assert_each_once(stack, images)
