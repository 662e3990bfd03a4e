"""What goes on while Qdrant is away: all that needs no store, through every replica and the balancer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import redis

from tests.cluster.conftest import REPLICAS, Stack
from tests.support.sample_images import encoded, photo
from tests.support.servers import wait_for

TRIES = 6
"""Of each request: every replica gets some."""


@pytest.fixture
def indexed(stack: Stack) -> Iterator[dict[str, bytes]]:
    images = {f"away/{number}": encoded(photo(96, 72, seed=50_000 + number), "PNG") for number in range(6)}
    for image_id, data in images.items():
        index(stack.http, image_id, data)
    yield images
    for image_id in images:
        stack.http.delete(path_of(image_id), params={"undo_seconds": "0"})


def test_cached_searches_and_image_files_are_served_without_the_store(stack: Stack, indexed: dict[str, bytes]) -> None:
    first, second, third = (httpx.Client(base_url=stack.replica(name), timeout=120) for name in REPLICAS)
    remembered(stack, indexed)
    deleted, replaced, *kept = indexed
    before = stack.http.get(f"{path_of(replaced)}/thumbnail").content
    first.delete(path_of(deleted), params={"undo_seconds": "0"}).raise_for_status()
    index(second, replaced, encoded(photo(96, 72, seed=51_000), "PNG"))
    searches: list[tuple[str, dict[str, Any]]] = [
        ("/search", {"files": {"image": ("x", indexed[kept[0]])}}),
        ("/search/text", {"json": {"text": "a photo"}}),
        (f"{path_of(kept[1])}/similar", {}),
    ]
    for path, query in searches:
        stack.http.post(path, **query).raise_for_status()
    thumbnails = {image_id: stack.http.get(f"{path_of(image_id)}/thumbnail").content for image_id in kept}

    stack.cluster.kill("qdrant")

    for path, query in searches:
        answers = [stack.http.post(path, **query) for _ in range(TRIES)]
        assert [(answer.status_code, answer.json().get("cached")) for answer in answers] == [(200, True)] * TRIES
    for image_id in kept:
        for _ in range(TRIES // 2):
            original = stack.http.get(f"{path_of(image_id)}/file")
            assert (original.content, original.headers["content-type"]) == (indexed[image_id], "image/png")
            assert stack.http.get(f"{path_of(image_id)}/thumbnail").content == thumbnails[image_id]
    for client in (first, second, third):
        # The one that wrote, the one that knew the image before, and the one that never heard of it.
        refused(client.get(f"{path_of(deleted)}/thumbnail"))
        assert client.get(f"{path_of(replaced)}/thumbnail").content != before
        wait_for(lambda http=client: http.get("/health").json()["status"] == "degraded", "nobody notices")
        services = client.get("/health").json()["services"]
        assert [part for part, service in services.items() if service["status"] != "ok"] == ["vector_store"]
        assert client.get("/ready").status_code == 200
    for _ in range(TRIES):
        refused(stack.http.post("/search", files={"image": ("x", indexed[kept[0]])}, data={"top_k": "3"}))
    stack.wait_until_up(*REPLICAS)

    stack.revive("qdrant")
    wait_for(lambda: first.get("/health").json()["status"] == "healthy", "it does not see that Qdrant is back")
    assert stack.http.get(f"{path_of(replaced)}/thumbnail").status_code == 200
    assert stack.http.get(f"{path_of(deleted)}/thumbnail").status_code == 404
    for client in (first, second, third):
        client.close()


def refused(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert int(answer.headers["retry-after"]) > 0


def index(http: httpx.Client, image_id: str, data: bytes) -> None:
    http.post("/index", files={"image": ("x", data)}, data={"image_id": image_id}).raise_for_status()


def path_of(image_id: str) -> str:
    return f"/images/{quote(image_id, safe='')}"


def remembered(stack: Stack, images: dict[str, bytes]) -> None:
    """Read the images until what they are is in Redis, which takes none in for a moment after they were written."""
    with redis.Redis(port=stack.cluster.ports["redis"]) as shared:

        def all_are() -> bool:
            for image_id in images:
                stack.http.get(f"{path_of(image_id)}/thumbnail").raise_for_status()
            return all(shared.keys(f"*:content:{image_id}") for image_id in images)

        wait_for(all_are, "what was read is not remembered")
