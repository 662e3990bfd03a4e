"""A collection that the code of an earlier commit wrote opens, answers and is written to.

`tests/support/make_older_collection.py` says how it was made, and makes the next one.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import pytest

from image_similarity.engine.collection import trash
from tests.support.make_older_collection import ARCHIVE, picture
from tests.support.servers import RunningServer, make_settings, running_server

BLOCK = 1 << 16


def unpack(folder: Path) -> Path:
    """Unpack the collection with holes for its zeros: of 220 MB that the engine allocates, hardly any are written."""
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            path = folder / member.name
            if member.isdir():
                path.mkdir()
                continue
            source = archive.extractfile(member)
            assert source is not None, member.name
            with path.open("wb") as target:
                while block := source.read(BLOCK):
                    if block.strip(b"\0"):
                        target.write(block)
                    else:
                        target.seek(len(block), os.SEEK_CUR)
                target.truncate(member.size)
    return folder / "data"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serve the collection, whose deleted image can be restored for another hour."""
    data = unpack(tmp_path_factory.mktemp("older"))
    [deletion] = [path for path in (data / "trash").glob("*/images/*/*") if path.is_file()]
    until = datetime.fromisoformat(json.loads(deletion.read_bytes())["until"]).timestamp()
    settings = make_settings(data, "mini", feedback_retention=0, job_retention=10**10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trash, "time", lambda: until - 3600)
        with running_server(settings) as server:
            yield server


def test_its_images_are_there_as_they_were(server: RunningServer) -> None:
    assert server.http.get("/stats").json()["collection"]["images"] == 5
    for number in (0, 1, 2, 4, 5):
        image = server.http.get(f"/images/image-{number}").json()
        assert image["metadata"] == ({"number": number, "tags": ["old", f"n{number}"]} if number < 4 else {})
        assert sha256(server.http.get(f"/images/image-{number}/file").content).hexdigest() == image["sha256"]
        assert server.http.get(f"/images/image-{number}/thumbnail").content[8:12] == b"WEBP"


def test_its_images_are_found_by_image_and_by_metadata(server: RunningServer) -> None:
    for number in (0, 1, 2, 4, 5):
        first = server.search(picture(number))["results"][0]
        assert first["image_id"] == f"image-{number}"
        # Another CPU rounds the vectors in another way.
        assert first["score"] > 0.98
    assert [hit["image_id"] for hit in server.search(picture(0), filter='{"tags": "n2"}')["results"]] == ["image-2"]


def test_its_job_and_its_verdict_are_read(server: RunningServer) -> None:
    [job] = server.http.get("/jobs").json()["jobs"]
    assert (job["state"], job["counts"]["indexed"]) == ("completed", 2)
    [verdict] = server.http.get("/feedback").json()["events"]
    assert (verdict["image_id"], verdict["verdict"]) == ("image-1", "positive")


def test_it_is_written_to_and_its_deleted_image_restored(server: RunningServer) -> None:
    assert server.http.post("/images/image-3/restore").status_code == 200
    assert server.http.get("/images/image-3").json()["metadata"]["tags"] == ["old", "n3"]
    assert server.search(picture(3))["results"][0]["image_id"] == "image-3"

    assert server.index(picture(6), image_id="new")["message"] == "indexed"
    assert server.search(picture(6))["results"][0]["image_id"] == "new"
    assert server.http.patch("/images/image-0", json={"metadata": {"number": 7}}).status_code == 200
    assert server.search(picture(0), filter='{"number": 7}')["results"][0]["image_id"] == "image-0"
    for image_id in ("image-3", "new"):
        assert server.http.delete(f"/images/{image_id}", params={"undo_seconds": 0}).status_code == 200
    assert server.http.get("/stats").json()["collection"]["images"] == 5
