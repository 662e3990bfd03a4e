"""A server that is killed loses nothing that it had acknowledged, and leaves nothing for ever."""

from __future__ import annotations

import concurrent.futures
import hashlib
import random
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.support.sample_images import encoded, photo
from tests.support.servers import API, ONCE, free_port, server_process, wait_for


@pytest.mark.parametrize("kill_after", [7, 40])
def test_after_kill_9_while_indexing_every_acknowledged_image_is_found(tmp_path: Path, kill_after: int) -> None:
    env = {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": "mini", "DEVICE": "cpu"}
    images = {f"image-{number}": encoded(photo(96, 72, seed=number), "PNG") for number in range(80)}
    acknowledged: list[str] = []
    enough = threading.Event()
    port = free_port()
    url = f"http://127.0.0.1:{port}{API}"

    with server_process(port, env, tmp_path / "log") as process:

        def index(image_id: str) -> None:
            try:
                answer = ONCE.post(
                    f"{url}/index", files={"image": ("x", images[image_id])}, data={"image_id": image_id}
                )
            except httpx.TransportError:
                return
            if answer.status_code == 200:
                acknowledged.append(image_id)
                if len(acknowledged) >= kill_after:
                    enough.set()

        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            running = [clients.submit(index, image_id) for image_id in images]
            assert enough.wait(60)
            process.kill()
            process.wait()
            concurrent.futures.wait(running)

    assert len(acknowledged) >= kill_after
    assert len(acknowledged) < len(images), "the server was not killed in the middle"
    with server_process(port, env, tmp_path / "log"), httpx.Client(base_url=url, timeout=60) as client:
        for image_id in acknowledged:
            assert client.get(f"/images/{image_id}").status_code == 200
            assert client.get(f"/images/{image_id}/file").content == images[image_id]
        for image_id in random.Random(0).sample(acknowledged, 7):
            hits = client.post("/search", files={"image": ("x", images[image_id])}).json()["results"]
            assert hits[0]["image_id"] == image_id
            assert hits[0]["score"] == pytest.approx(1, abs=1e-3)
        # What was not acknowledged is either whole or absent, and can be indexed again.
        for listed in client.get("/images", params={"limit": 500}).json()["images"]:
            assert client.get(f"/images/{listed['image_id']}/thumbnail").status_code == 200
        for image_id in images:
            answer = client.post("/index", files={"image": ("x", images[image_id])}, data={"image_id": image_id})
            assert answer.status_code == 200
        assert client.get("/stats").json()["collection"]["images"] == len(images)


def test_after_kill_9_deletions_can_be_undone_until_they_are_due(tmp_path: Path) -> None:
    env = {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": "mini", "DEVICE": "cpu"}
    images = {name: encoded(photo(96, 72, seed=seed), "PNG") for seed, name in enumerate(("undone", "over"))}
    port = free_port()
    url = f"http://127.0.0.1:{port}{API}"

    def files() -> dict[str, Path]:
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in images.items()}
        return {name: tmp_path / "data" / "images" / "originals" / key[:2] / key for name, key in digests.items()}

    with server_process(port, env, tmp_path / "log") as process, httpx.Client(base_url=url, timeout=60) as client:
        for name, data in images.items():
            client.post("/index", files={"image": ("x", data)}, data={"image_id": name})
        before = client.get("/images/undone").json()
        for name, seconds in (("undone", 3600), ("over", 1)):
            assert client.delete(f"/images/{name}", params={"undo_seconds": seconds}).status_code == 200
        process.kill()
        process.wait()
    assert all(path.exists() for path in files().values())

    time.sleep(1)
    with server_process(port, env, tmp_path / "log"), httpx.Client(base_url=url, timeout=60) as client:
        assert client.post("/images/undone/restore").json() == before
        assert client.get("/images/undone/file").content == images["undone"]
        wait_for(lambda: not files()["over"].exists(), "what cannot be undone is kept")
        assert client.post("/images/over/restore").status_code == 404
        assert client.get("/stats").json()["collection"]["images"] == 1
    assert [path for path in (tmp_path / "data" / "trash").rglob("*") if path.is_file()] == []
