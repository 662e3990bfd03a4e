"""Requests that the real HAProxy sends to a second real replica, because the first one did them and died."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.balancer import Balancer, running_balancer, statistics_of
from tests.support.engines import RED
from tests.support.faulty_link import Fault, FaultyLink, faulty_link
from tests.support.qdrant_process import QdrantProcess
from tests.support.servers import API, free_port, make_settings, running_server, wait_for

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")


async def test_what_a_replica_did_just_before_it_died_is_answered_as_done(
    qdrant: QdrantProcess, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    shared: dict[str, Any] = {
        "storage_url": (tmp_path / "shared").as_uri(),
        "qdrant_collection_name": "repeated-by-haproxy",
    }
    shared |= {"qdrant_url": qdrant.url, "qdrant_grpc_port": qdrant.grpc_port}
    async with AsyncExitStack() as stack:
        links: list[FaultyLink] = []
        ports: list[int] = []
        for number in range(2):
            server = running_server(make_settings(tmp_path / f"{number}", tiny_checkpoint, **shared))
            running = await asyncio.to_thread(server.__enter__)
            stack.push_async_callback(asyncio.to_thread, server.__exit__, None, None, None)
            port = int(running.url.rpartition(":")[2])
            link = await stack.enter_async_context(faulty_link(port, _changes_an_image))
            # What the balancer sees of a replica that is killed: nobody listens any more.
            link.on_lost = partial(setattr, link, "target", free_port())
            links.append(link)
            ports.append(port)
        replicas = {f"REPLICA_{number + 1}": f"127.0.0.1:{link.port}" for number, link in enumerate(links)}
        balancing = running_balancer(tmp_path, replicas=0, **replicas)
        balancer = await asyncio.to_thread(balancing.__enter__)
        stack.push_async_callback(asyncio.to_thread, balancing.__exit__, None, None, None)
        await asyncio.to_thread(wait_for, lambda: _ready(balancer) == 2, "the replicas do not become ready")

        async with httpx.AsyncClient(base_url=balancer.url + API, timeout=60) as client:
            indexed = await client.post("/index", files={"image": ("x", RED)}, data={"image_id": "a"})
            assert indexed.status_code == 200, indexed.text

            _fail_once(links)
            deleted = await client.delete("/images/a", params={"undo_seconds": 600})
            assert (deleted.status_code, deleted.json()["message"]) == (200, "deleted"), deleted.text
            assert deleted.json()["restorable_until"] is not None
            assert (await client.delete("/images/a")).status_code == 404, "another request, so nothing to delete"

            for link, port in zip(links, ports, strict=True):
                link.target, link.on_lost = port, lambda: None
            await asyncio.to_thread(wait_for, lambda: _ready(balancer) == 2, "the dead one does not come back")
            _fail_once(links)
            restored = await client.post("/images/a/restore")
            assert (restored.status_code, restored.json()["image_id"]) == (200, "a"), restored.text
            assert (await client.post("/images/a/restore")).status_code == 409
        assert sum(link.lost for link in links) == 2, "no answer was lost, so nothing was tested"


def _fail_once(links: list[FaultyLink]) -> None:
    """Have whichever replica gets the next change do it, and not answer."""
    once = [Fault.LOSE_ANSWER]
    for link in links:
        link.faults = once


def _changes_an_image(method: str, path: str) -> bool:
    return method == "DELETE" or path.endswith("/restore")


def _ready(balancer: Balancer) -> int:
    rows = statistics_of(balancer.statistics)
    return sum(row["svname"].startswith("replica-") and row["status"] == "UP" for row in rows)
