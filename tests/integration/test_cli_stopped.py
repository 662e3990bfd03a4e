"""What becomes of the server's jobs when a person stops `index`, and what that person is told."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from image_similarity.cli import index_remote as remote_bulk
from image_similarity.cli.index_remote import RemoteBulk
from image_similarity.cli.remote_client import RemoteClient
from image_similarity.cli.running_server import Server
from image_similarity.domain.records import IndexResult
from image_similarity.images.files import IdFrom, find_images
from tests.support.commands import Cli
from tests.support.sample_images import encoded, photo
from tests.support.servers import PATIENCE, RunningServer, make_settings, running_server, wait_for

FILES = 6


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[RunningServer]:
    """Work off chunks of two images."""
    settings = make_settings(tmp_path_factory.mktemp("data"), tiny_checkpoint, log_level="ERROR", batch_size=2)
    with running_server(settings) as server:
        yield server


@pytest.fixture
def gate(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Hold every image that the server is to index until this is set."""
    opened, index = threading.Event(), server.engine.index_image

    async def held(*arguments: Any, **named: Any) -> IndexResult:
        await asyncio.to_thread(opened.wait, PATIENCE)
        return await index(*arguments, **named)

    monkeypatch.setattr(server.engine, "index_image", held)
    yield opened
    opened.set()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number}.png").write_bytes(encoded(photo(32, 32, seed=number), "PNG"))
    return folder


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Have SIGINT interrupt: a shell has what it starts in the background ignore it, these tests included."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def jobs(server: RunningServer) -> list[dict[str, Any]]:
    # Not with the client of `server`: this is asked from other threads as well.
    return list(httpx.get(f"{server.url}/api/v1/jobs").json()["jobs"])


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_stops_the_servers_jobs_and_says_how_far_it_came(
    cli: Cli, server: RunningServer, gate: threading.Event, photos: Path
) -> None:
    def interrupt() -> None:
        wait_for(lambda: any(job["state"] == "running" for job in jobs(server)), "no job was begun")
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=interrupt)
    presser.start()
    result = cli("index", photos, "--url", server.url)
    presser.join()
    assert result.status == 130
    assert f"at least 0 of {FILES} images are in. Run the command again to go on." in result.stderr
    assert "Traceback" not in result.stderr
    [job] = jobs(server)
    assert job["state"] == "cancelled"
    gate.set()
    # Two chunks of two were under way; the third one was never begun.
    wait_for(lambda: server.http.get("/stats").json()["collection"]["images"] == 4, "what was begun was not finished")


async def test_an_upload_whose_answer_is_not_there_yet_is_stopped_too(
    server: RunningServer, gate: threading.Event, photos: Path
) -> None:
    """The server may have made a job of it, whose id nobody was told."""
    known = {job["job_id"] for job in jobs(server)}
    sent, answer = asyncio.Event(), asyncio.Event()

    class SlowAnswers(RemoteClient):
        async def submit_batch(self, images: Any, *, upload: str) -> str:
            job_id = await super().submit_batch(images, upload=upload)
            sent.set()
            await answer.wait()
            return job_id

    async with SlowAnswers(Server(server.url, None)) as remote:
        bulk = RemoteBulk(remote, lambda _: None)
        files = find_images([photos], recursive=False)
        running = asyncio.create_task(bulk.index(files, id_from=IdFrom.HASH, metadata={}, max_bytes=10_000))
        await sent.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        stopping = asyncio.create_task(bulk.stop())
        answer.set()
        assert await stopping == 0
    assert [job["state"] for job in jobs(server) if job["job_id"] not in known] == ["cancelled"]


async def test_a_server_that_does_not_answer_any_more_may_go_on(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_bulk, "STOP_SECONDS", 0.1)

    class Gone(RemoteClient):
        async def submit_batch(self, images: Any, *, upload: str) -> str:
            await asyncio.Event().wait()
            return ""

    async with Gone(Server("http://127.0.0.1:9", None)) as remote:
        bulk = RemoteBulk(remote, lambda _: None)
        files = find_images([photos], recursive=False)
        running = asyncio.create_task(bulk.index(files, id_from=IdFrom.PATH, metadata={}, max_bytes=10_000))
        while not bulk._submitted:  # noqa: ASYNC110 - there is nothing to be told by
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await bulk.stop() == 1
