"""A server whose store has failed to write to its disk says so, serves on, and mends itself."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from image_similarity.vectors.qdrant_edge import live_shard
from tests.support.flushes import break_files
from tests.support.sample_images import encoded, photo
from tests.support.servers import make_settings, running_server, wait_for


def counted(url: str) -> float:
    metrics = httpx.get(f"{url}/metrics").text
    [value] = re.findall(r"^image_similarity_flush_failures_total (\S+)$", metrics, re.MULTILINE)
    return float(value)


def test_a_failing_flush_is_reported_until_the_shard_is_opened_anew(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in /health, /ready and /metrics."""
    monkeypatch.setattr(live_shard, "FLUSH_SECONDS", 0.05)
    monkeypatch.setattr(live_shard, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(live_shard, "ROOM", 2**80)
    settings = make_settings(tmp_path / "data", tiny_checkpoint)
    folder = tmp_path / "data" / "collections" / settings.qdrant_collection_name
    image = encoded(photo(32, 32), "PNG")
    with running_server(settings) as server:

        def index(name: str) -> None:
            server.index(image, image_id=name, metadata=f'{{"{name}": 1}}')

        index("a")
        wait_for(lambda: any(path.stat().st_size for path in folder.rglob("tracker_journal.dat")), "no flush")
        assert (server.http.get("/ready").status_code, counted(server.url)) == (200, 0)
        break_files(folder)
        index("b")
        wait_for(lambda: counted(server.url) >= 2, "no flush fails")
        # Probes may show what somebody found a few seconds ago.
        wait_for(lambda: server.http.get("/ready").status_code == 503, "it is ready for requests all the same")
        ready, health = server.http.get("/ready"), server.http.get("/health").json()
        assert (health["status"], health["services"]["vector_store"]["status"]) == ("unhealthy", "unavailable")
        assert "has failed to write to its disk" in health["services"]["vector_store"]["detail"]
        assert str(tmp_path) not in ready.text + str(health)

        # All is served, and writes are taken, meanwhile; a field without an index needs the disk.
        index("c")
        assert len(server.search(image)["results"]) == 3
        refused = server.http.post("/search", files={"image": ("x", image)}, data={"filter": '{"c": 1}'})
        assert refused.status_code in {200, 503}
        assert str(tmp_path) not in refused.text

        monkeypatch.setattr(live_shard, "ROOM", 0)
        wait_for(lambda: server.http.get("/ready").status_code == 200, "the shard is not mended")
        wait_for(lambda: server.http.get("/health").json()["status"] == "healthy", "/health goes on complaining")
        for name in "abc":
            [hit] = server.search(image, filter=f'{{"{name}": 1}}')["results"]
            assert hit["image_id"] == name
