"""A hundred clients do not notice that replicas die, and no replica forgets what another was told."""

from __future__ import annotations

import os
from base64 import b64encode
from collections import Counter

import httpx

from tests.cluster.conftest import REPLICAS, Stack
from tests.support.concurrent_clients import concurrent_clients
from tests.support.jobs import indexed_images
from tests.support.sample_images import encoded, photo

KNOWN_SYSTEM = 0.99997
"""Share of 60,000 requests from 100 clients that a system of this kind was reported to answer."""


def test_dying_and_restarted_replicas_fail_no_request(stack: Stack, photos: list[bytes]) -> None:
    before = stack.images()
    with concurrent_clients(stack.cluster.url, photos) as account:
        account.wait_for(250)
        stack.cluster.kill("replica-1")
        account.wait_for(250)
        stack.revive("replica-1")
        for name in REPLICAS:
            account.wait_for(150)
            stack.restart(name)
        account.wait_for(150)
    assert account.failed == []
    assert account.success_rate >= KNOWN_SYSTEM
    # Also the images without an id, which a replica may have written just before it died, are there exactly once.
    assert Counter(account.indexed).most_common(1)[0][1] == 1
    assert set(account.indexed) <= set(indexed_images(stack.http))
    assert stack.images() == before + len(account.indexed)


def test_what_one_replica_was_told_every_other_knows(stack: Stack) -> None:
    clients = [httpx.Client(base_url=stack.replica(name), timeout=120) for name in REPLICAS]
    for number in range(30):
        writer, reader, remover = (clients[(number + shift) % 3] for shift in range(3))
        image = encoded(photo(96, 72, seed=10_000 + number), "JPEG") + os.urandom(8)
        query = {"image": ("x", image)}
        image_id = f"told-{number}"
        assert image_id not in found(reader, query), "not there yet; and now that answer is in the cache"
        writer.post("/index", files=query, data={"image_id": image_id}).raise_for_status()
        assert image_id in found(reader, query)
        assert image_id in found(remover, query)
        remover.delete(f"/images/{image_id}").raise_for_status()
        assert image_id not in found(writer, query)
        assert image_id not in found(reader, query)
    for client in clients:
        client.close()


def test_most_searches_of_a_popular_few_are_answered_from_the_cache(stack: Stack, photos: list[bytes]) -> None:
    for image in photos:
        stack.http.post("/search", json={"image_data": b64encode(image).decode()}).raise_for_status()
    with concurrent_clients(stack.cluster.url, photos, clients=20, indexing=0) as account:
        account.wait_for(500)
    assert account.failed == []
    # A count, not a share: a replica finds each of them anew once more at most, as it does if Redis answers too late.
    assert account.searches - account.cached <= len(photos) * len(REPLICAS)


def found(client: httpx.Client, query: dict[str, tuple[str, bytes]]) -> set[str]:
    answer = client.post("/search", files=query, data={"top_k": "5"}).raise_for_status().json()
    return {match["image_id"] for match in answer["results"]}
