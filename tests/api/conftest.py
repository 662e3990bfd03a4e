from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from image_similarity.engine import health
from tests.support.servers import RunningServer, make_settings, running_server


@pytest.fixture(scope="package", autouse=True)
def impatient_monitor() -> Iterator[None]:
    """Have `/health` know of a change after a moment instead of five seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(health, "EVERY", 0.2)
        yield


@pytest.fixture(scope="package")
def shared_server(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[RunningServer]:
    """Return one server for all tests here; use `server`, which is empty at each test's beginning."""
    settings = make_settings(tmp_path_factory.mktemp("data"), tiny_checkpoint, log_level="ERROR")
    with running_server(settings) as running:
        yield running


@pytest.fixture
def server(shared_server: RunningServer) -> RunningServer:
    while images := shared_server.http.get("/images", params={"limit": 500}).json()["images"]:
        for image in images:
            shared_server.http.delete(f"/images/{quoted(image['image_id'])}", params={"undo_seconds": 0})
    return shared_server


def quoted(image_id: str) -> str:
    from urllib.parse import quote

    return quote(image_id, safe="")
