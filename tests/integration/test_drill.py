"""`image-similarity drill`: its load, and an account that tells what is wrong."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from image_similarity.cli.drill.account import PREFIX, Fate, Operation, percentile, summary
from image_similarity.cli.drill.copies import Copies, compare
from image_similarity.cli.drill.load import SHARES
from image_similarity.cli.drill.pictures import draw
from tests.support.drilling import drilling, found_of, wait_for_requests
from tests.support.qdrant_process import QdrantProcess
from tests.support.sample_images import WHITE, encoded
from tests.support.servers import PATIENCE, RunningServer, command, environment, make_settings, running_server, wait_for


@pytest.fixture
def server(tmp_path: Path, tiny_checkpoint: Path, qdrant: QdrantProcess) -> Iterator[RunningServer]:
    settings = make_settings(
        tmp_path,
        tiny_checkpoint,
        qdrant_url=qdrant.url,
        qdrant_grpc_port=qdrant.grpc_port,
        qdrant_collection_name=f"photos-{uuid.uuid4().hex}",
        qdrant_timeout=20,
        undo_seconds=3600,
    )
    with running_server(settings) as running:
        yield running


def test_an_account_of_a_service_that_loses_nothing_is_clean(server: RunningServer) -> None:
    with drilling(server.url, seed=1) as account:
        wait_for_requests(account, 300)
    figures = summary(account, found_of(server.url, account))
    assert (figures["failed"], figures["lost"], figures["came_back"], figures["unchecked"]) == (0, [], [], [])
    assert figures["not_found_by_own_picture"] == []
    assert figures["requests"] == sum(map(len, account.seconds.values())) >= 300
    assert figures["acknowledged_images"] > figures["acknowledged_deletions"] > 0
    # About as often as it should be: 35, 40, 20 and 5 of a hundred, with an image at first of every client.
    for operation, share in SHARES.items():
        assert len(account.seconds[operation]) / figures["requests"] == pytest.approx(share / 100, abs=0.1)


def test_what_is_lost_what_came_back_and_what_is_another_picture_is_told(server: RunningServer) -> None:
    with drilling(server.url, seed=2) as account:
        wait_for_requests(account, 100)
        wait_for(lambda: len(account.having(Fate.GONE)) >= 2, "nothing is deleted")
    lost, other, *_ = account.having(Fate.PRESENT)
    back, *_ = account.having(Fate.GONE)
    server.http.delete(f"/images/{lost.replace('/', '%2F')}").raise_for_status()
    server.http.post(f"/images/{back.replace('/', '%2F')}/restore").raise_for_status()
    server.index(encoded(Image.new("RGB", (160, 120), WHITE), "PNG"), image_id=other)

    findings = found_of(server.url, account)

    assert (findings.lost, findings.came_back, findings.not_found) == ([lost], [back], [other])
    assert len(findings.problems) == 3
    assert f"1 acknowledged images are lost, such as {lost}." in findings.problems


def test_a_store_that_is_away_fails_requests_and_loses_nothing(tmp_path: Path, tiny_checkpoint: Path) -> None:
    store = QdrantProcess(tmp_path)
    store.start()
    settings = make_settings(tmp_path, tiny_checkpoint, qdrant_url=store.url, qdrant_prefer_grpc=False)
    try:
        with running_server(settings) as server:
            with drilling(server.url, seed=3, clients=3) as account:
                wait_for_requests(account, 20)
                store.kill()
                index = f"{Operation.INDEX} 503 store_unavailable"
                wait_for(lambda: account.failures[index], "no write fails without a store")
                store.start()
                so_far = len(account.having(Fate.PRESENT))
                wait_for(lambda: len(account.having(Fate.PRESENT)) > so_far, "writes do not come back")
            assert found_of(server.url, account).problems == []
    finally:
        store.stop()
    assert account.having(Fate.UNKNOWN) != []


def test_the_command_accounts_cleans_up_and_refuses_what_is_not_its_own(server: RunningServer) -> None:
    run = drill(
        "--url", server.url, "--seconds", "2", "--seed", "4", "--json", "--qdrant", str(server.settings.qdrant_url)
    )
    assert run.returncode == 0, run.stderr
    figures = json.loads(run.stdout)
    assert (figures["seed"], figures["lost"], figures["copies"]["problems"]) == (4, [], [])
    assert figures["acknowledged_images"] == figures["copies"]["points"] > 0
    assert figures["prefix"].startswith(PREFIX)
    assert server.http.get("/stats").json()["collection"]["images"] == 0, "it leaves nothing behind"

    server.index(draw(1, 1), image_id=f"{PREFIX}earlier/1")
    assert drill("--url", server.url, "--seconds", "1").returncode == 0, "an earlier drill's image is nobody's"

    server.index(draw(1, 2), image_id="holidays/1.jpg")
    refused = drill("--url", server.url, "--seconds", "1")
    assert refused.returncode == 1
    assert "images that no drill made" in refused.stderr
    assert server.http.get("/stats").json()["collection"]["images"] == 2


def test_the_command_says_what_it_cannot_reach_or_read() -> None:
    run = drill("--url", "http://127.0.0.1:1")
    assert (run.returncode, "is the service up?" in run.stderr) == (1, True), run.stderr
    run = drill("--url", "http://127.0.0.1:1", "--qdrant", "http://me:secret@host")
    assert (run.returncode, "without a user" in run.stderr) == (1, True), run.stderr


@pytest.fixture
def second(tmp_path: Path) -> Iterator[QdrantProcess]:
    process = QdrantProcess(tmp_path)
    process.start()
    yield process
    process.stop()


def test_copies_that_differ_are_told(qdrant: QdrantProcess, second: QdrantProcess) -> None:
    name = f"copies-{uuid.uuid4().hex}"
    points = [{"id": point(number), "vector": {"it": [0.6, 0.8]}, "payload": {"at": number}} for number in range(600)]
    for node in (qdrant, second):
        put(node, f"/collections/{name}", {"vectors": {"it": {"size": 2, "distance": "Cosine"}}})
        put(node, f"/collections/{name}/points?wait=true", {"points": points})
    nodes = [qdrant.url, second.url]
    assert compare(nodes, name) == Copies(nodes=2, points=600)

    changes = [
        {**points[7], "payload": {"at": -1}},
        {**points[300], "vector": {"it": [0.8, 0.6]}},
        {**points[0], "id": point(1000)},
    ]
    put(second, f"/collections/{name}/points?wait=true", {"points": changes})
    assert compare(nodes, name).problems == [
        f"The copies of 3 points differ, such as {point(7)}, {point(300)}, {point(1000)}."
    ]


def test_figures() -> None:
    assert [percentile(range(1, 201), share) for share in (0, 0.5, 0.99, 1)] == [1, 101, 199, 200]
    assert percentile([], 0.99) == 0


def point(number: int) -> str:
    return str(uuid.UUID(int=number + 1))


def put(node: QdrantProcess, path: str, body: object) -> None:
    httpx.put(node.url + path, json=body).raise_for_status()


def drill(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("drill", *arguments), env=environment({}), capture_output=True, text=True, timeout=PATIENCE
    )
