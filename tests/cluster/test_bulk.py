"""A large job whose workers and broker are shot under it."""

from __future__ import annotations

import hashlib

from tests.cluster.conftest import Stack
from tests.support.jobs import finished, indexed_images, pictures, status, submit
from tests.support.servers import wait_for

IMAGES, CORRUPT = 1_000, 10


def test_job_survives_its_worker_and_its_broker_with_each_image_once(stack: Stack) -> None:
    images = {f"bulk-{image_id}": data for image_id, data in pictures(IMAGES, first=30_000).items()}
    corrupt = set(list(images)[:: IMAGES // CORRUPT])
    for image_id in corrupt:
        images[image_id] = images[image_id][:200]
    before = indexed_images(stack.http)

    job_id = submit(stack.http, images)
    reach(stack, job_id, IMAGES // 5)
    stack.cluster.kill("worker-1")
    reach(stack, job_id, 2 * IMAGES // 5)
    stack.cluster.start("worker-1")
    stack.cluster.stop("rabbitmq")
    stack.cluster.start("rabbitmq")
    job = finished(stack.http, job_id)

    assert job["state"] == "completed_with_errors"
    assert {failure["image_id"] for failure in job["failures"]} == corrupt
    assert {failure["code"] for failure in job["failures"]} == {"image_undecodable"}
    assert job["counts"]["processed"] == IMAGES
    assert job["counts"]["failed"] == CORRUPT
    good = {image_id: hashlib.sha256(data).hexdigest() for image_id, data in images.items() if image_id not in corrupt}
    after = indexed_images(stack.http)
    assert {image_id: after[image_id] for image_id in after.keys() - before.keys()} == good
    assert len(set(good.values())) == IMAGES - CORRUPT


def reach(stack: Stack, job_id: str, processed: int) -> None:
    wait_for(lambda: status(stack.http, job_id)["counts"]["processed"] >= processed, "the job does not go on")
