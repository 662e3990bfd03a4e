"""What happens when a service that the replicas lean on dies under load."""

from __future__ import annotations

import os
import threading

import httpx

from tests.cluster.conftest import Stack
from tests.support.concurrent_clients import concurrent_clients
from tests.support.jobs import finished, indexed_images, pictures, status, submit
from tests.support.servers import wait_for


def test_searches_go_on_without_redis(stack: Stack, photos: list[bytes]) -> None:
    with concurrent_clients(stack.cluster.url, photos, clients=50) as account:
        account.wait_for(200)
        stack.cluster.kill("redis")
        account.wait_for(300)
        stack.revive("redis")
        account.wait_for(300)
    assert account.failed == []
    assert set(account.indexed) <= set(indexed_images(stack.http))


def test_searches_go_on_without_rabbitmq_and_the_job_resumes_with_it(stack: Stack, photos: list[bytes]) -> None:
    images = {f"broker-{image_id}": data for image_id, data in pictures(300, first=20_000).items()}
    with concurrent_clients(stack.cluster.url, photos, clients=20, indexing=0) as account:
        job_id = submit(stack.http, images)
        wait_for(lambda: status(stack.http, job_id)["counts"]["processed"], "the job does not begin")
        stack.cluster.kill("rabbitmq")
        account.wait_for(300)
        stack.revive("rabbitmq")
        job = finished(stack.http, job_id)
    assert account.failed == []
    assert (job["state"], job["counts"]["processed"]) == ("completed", len(images))
    assert set(images) <= set(indexed_images(stack.http))


def test_qdrant_gone_for_a_while_loses_no_acknowledged_write(stack: Stack, photos: list[bytes]) -> None:
    acknowledged: list[str] = []
    refused: list[int] = []
    enough = threading.Event()

    def write() -> None:
        with httpx.Client(base_url=stack.http.base_url, timeout=120) as client:
            while not enough.is_set():
                answer = client.post("/index", files={"image": ("x", photos[0] + os.urandom(16))})
                if answer.status_code == 200:
                    acknowledged.append(answer.json()["image_id"])
                else:
                    refused.append(answer.status_code)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_for(lambda: len(acknowledged) >= 20, "nothing is written")
        stack.cluster.kill("qdrant")
        wait_for(lambda: len(refused) >= 3, "writes do not fail without Qdrant")
        stack.revive("qdrant")
        so_far = len(acknowledged)
        wait_for(lambda: len(acknowledged) >= so_far + 20, "writes do not come back")
    finally:
        enough.set()
        writer.join()
    assert set(refused) == {503}
    assert set(acknowledged) <= set(indexed_images(stack.http))
