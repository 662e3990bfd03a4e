"""A full disk: nothing is written, all else goes on, and everybody is told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from image_similarity.api.app import create_app
from image_similarity.bootstrap.jobs import build_jobs
from image_similarity.domain.errors import DiskFull
from image_similarity.engine.health import STALE
from image_similarity.filesystem import free_space as disk
from tests.support.engines import BLUE, ORANGE, RED, running_engine
from tests.support.servers import RunningServer, make_settings

TOO_MUCH = 2**60
READS = {"/search", "/search/text", "/search/keywords", "/cache/warm", "/images/{image_id}/similar"}
"""What is sent by POST and writes nothing."""


@pytest.fixture
def full(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> RunningServer:
    """A server with the images red and orange, and the deleted one blue, whose disk is full."""
    for image, image_id in ((RED, "red"), (ORANGE, "orange"), (BLUE, "blue")):
        server.index(image, image_id=image_id)
    assert server.http.delete("/images/blue", params={"undo_seconds": 60}).status_code == 200
    monkeypatch.setattr(disk, "EVERY", 0.0)
    monkeypatch.setattr(server.engine.disk, "min_free", TOO_MUCH)
    return server


def files(server: RunningServer) -> set[Path]:
    return {path for path in server.settings.data_dir.rglob("*") if path.is_file()}


def test_every_write_is_a_507_that_says_what_to_do_and_leaves_nothing(full: RunningServer) -> None:
    before = files(full)
    document = full.http.get(full.url + "/openapi.json").json()
    writes = [
        (method, path.removeprefix("/api/v1"))
        for path, methods in document["paths"].items()
        for method in methods
        if method in {"post", "put", "patch"} and path.removeprefix("/api/v1") not in READS
    ]
    assert len(writes) >= 5

    for method, path in writes:
        answer = full.http.request(method, path.replace("{image_id}", "red"), json={})
        assert (answer.status_code, answer.json()["code"]) == (507, "disk_full"), (path, answer.text)
        assert "MIN_FREE_BYTES" in answer.json()["detail"]
        # HAProxy turns other 507s into 503s.
        assert answer.headers["x-keep-status"] == "507"
        assert "507" in document["paths"]["/api/v1" + path][method]["responses"]
    for image in (RED, BLUE):
        assert full.http.post("/index", files={"image": ("x", image)}, data={"image_id": "x"}).status_code == 507
    assert files(full) == before


def test_searches_and_deletions_go_on_and_writes_when_there_is_room(
    full: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [hit["image_id"] for hit in full.search(RED, top_k="1")["results"]] == ["red"]
    assert full.http.post("/images/red/similar").status_code == 200
    assert full.http.get("/images/red/file").content == RED
    assert full.http.delete("/images/orange", params={"undo_seconds": 60}).status_code == 200
    assert full.http.delete("/images/red", params={"undo_seconds": 0}).status_code == 200

    monkeypatch.setattr(full.engine.disk, "min_free", 1)
    assert full.http.post("/images/orange/restore").status_code == 200
    full.index(BLUE, image_id="blue")
    # What was kept for requests is given back, also by those that were refused.
    assert full.http.post("/index", files={"image": ("x", b"no image")}).status_code == 415
    assert full.engine.disk.held == 0


def test_health_readiness_and_metrics_tell(full: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert full.http.get("/ready").json() == {"ready": True}
    asyncio.run_coroutine_threadsafe(full.engine.health.look(), full.loop).result(STALE)

    ready = full.http.get("/ready")
    assert ready.status_code == 200
    assert "MIN_FREE_BYTES" in ready.json()["read_only"]
    health = full.http.get("/health").json()
    assert (health["status"], health["services"]["disk"]["status"]) == ("degraded", "unavailable")
    metrics = full.http.get(full.url + "/metrics").text
    assert 'image_similarity_part_up{part="disk"} 0.0' in metrics
    assert f'image_similarity_disk_least_free_bytes{{disk="data"}} {float(TOO_MUCH)!r}' in metrics

    monkeypatch.setattr(full.engine.disk, "min_free", 0)
    asyncio.run_coroutine_threadsafe(full.engine.health.look(), full.loop).result(STALE)
    assert full.http.get("/ready").json() == {"ready": True}


def test_body_that_the_disk_of_uploads_has_no_room_for(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # A device on which every write fails as on a full disk.
    monkeypatch.setattr("tempfile.SpooledTemporaryFile", lambda *_: Path("/dev/full").open("wb", 0))  # noqa: SIM115
    answer = server.http.post("/index", files={"image": ("x", RED)})
    assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")


async def test_no_room_without_a_key_and_a_job_that_outgrows_the_room_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "EVERY", 0.0)
    settings = make_settings(tmp_path, "colours", api_keys="secret")
    async with running_engine(tmp_path) as rig:
        jobs = build_jobs(settings, rig.engine)
        transport = httpx.ASGITransport(create_app(rig.engine, settings, jobs))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api/v1") as http:
            rig.engine.disk.min_free = TOO_MUCH
            assert (await http.post("/index", json={})).status_code == 401
            assert (await http.post("/index", json={}, headers={"X-API-Key": "secret"})).status_code == 507
        rig.engine.disk.min_free = 1
        async with jobs.draft() as draft:
            await draft.add(RED, image_id="red")
            await jobs.submit(draft)
            rig.engine.disk.min_free = TOO_MUCH
            with pytest.raises(DiskFull):
                await draft.add(BLUE, image_id="blue")
        # What a job cannot write is no failure of its images: the storage is away.
        assert await rig.engine.disk.look() is not None
        with pytest.raises(DiskFull):
            await rig.engine.index_image(BLUE, image_id="blue")
