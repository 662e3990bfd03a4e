"""`image-similarity feedback …`, beside a running server and without one, on both stores."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from tests.support.commands import Cli
from tests.support.qdrant_process import QdrantProcess
from tests.support.sample_images import encoded, photo
from tests.support.servers import RunningServer, make_settings, running_server

Env = dict[str, str]
PHOTOS = 12


@pytest.fixture(params=["embedded", "qdrant"])
def env(request: pytest.FixtureRequest, tmp_path: Path, tiny_checkpoint: Path) -> Env:
    own = {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": str(tiny_checkpoint), "DEVICE": "cpu"}
    if request.param == "qdrant":
        qdrant: QdrantProcess = request.getfixturevalue("qdrant")
        own |= {"QDRANT_URL": qdrant.url, "QDRANT_GRPC_PORT": str(qdrant.grpc_port)}
        own |= {"QDRANT_COLLECTION_NAME": f"feedback-{tmp_path.name}"[:64]}
    return own


@pytest.fixture
def server(env: Env, tiny_checkpoint: Path) -> Iterator[RunningServer]:
    given = {name.lower(): value for name, value in env.items() if name not in {"DATA_DIR", "MODEL_NAME"}}
    with running_server(make_settings(Path(env["DATA_DIR"]), tiny_checkpoint, log_level="ERROR", **given)) as running:
        for number in range(PHOTOS):
            running.index(encoded(photo(96, 72, seed=number), "PNG"), image_id=f"photo-{number}")
        yield running


def like(server: RunningServer, query: str, *images: str, verdict: str = "positive") -> None:
    for image_id in images:
        body = {"query": {"image_id": query}, "image_id": image_id, "verdict": verdict}
        answer = server.http.post("/feedback", json=body)
        assert answer.status_code == 201, answer.text


def test_verdicts_are_exported_reported_and_cleared(server: RunningServer, cli: Cli, env: Env, tmp_path: Path) -> None:
    for query in range(4):
        like(server, f"photo-{query}", f"photo-{query + 4}", verdict="negative")
        like(server, f"photo-{query}", *(f"photo-{number}" for number in range(8, 12)))
    like(server, "photo-0", "gone", "also-gone")
    like(server, "photo-9", "photo-1")
    server.http.post(
        "/feedback",
        json={"query_id": "019a9d5e-4c1b-7d3a-9f5e-2f6f0a1b2c3d", "image_id": "a", "verdict": "positive"},
    )

    exported = cli("feedback", "export", "--url", server.url)
    assert exported.status == 0, exported.stderr
    lines = [json.loads(line) for line in exported.stdout.splitlines()]
    assert len(lines) == 24
    assert "24 verdicts" in exported.stderr
    # Beside the running server, which has an embedded collection to itself: the record lies beside it.
    to_file = cli("feedback", "export", "-o", tmp_path / "out.jsonl", **env)
    assert to_file.status == 0, to_file.stderr
    assert (tmp_path / "out.jsonl").read_text() == exported.stdout

    reported = cli("feedback", "report", "--apply", "2", "--json", "--url", server.url)
    assert reported.status == 0, reported.stderr
    document = json.loads(reported.stdout)
    assert (document["queries"], document["pairs"]) == (4, 8)
    assert (document["applied_positive"], document["applied_negative"]) == (2, 1)
    assert document["left_out"] == {"the query is unknown": 1, "fewer than two liked images are there": 1}
    # With twelve images all that is left is among the first ten.
    assert {recall["mean"] for recall in document["recall"].values()} == {1.0}
    table = cli("feedback", "report", "--url", server.url)
    assert "4 queries, 8 held-out images" in table.stdout
    assert "relevance_feedback" in table.stdout

    cleared = cli("feedback", "clear", "--yes", "--url", server.url)
    assert "24 verdicts deleted" in cleared.stdout
    nothing = cli("feedback", "report", "--url", server.url)
    assert nothing.status == 1
    assert "nothing to measure" in nothing.stderr


def test_without_a_server_the_record_is_read_where_it_lies(
    cli: Cli, env: Env, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    given = {name.lower(): value for name, value in env.items() if name not in {"DATA_DIR", "MODEL_NAME"}}
    with running_server(make_settings(Path(env["DATA_DIR"]), tiny_checkpoint, log_level="ERROR", **given)) as server:
        for number in range(6):
            server.index(encoded(photo(96, 72, seed=number), "PNG"), image_id=f"photo-{number}")
        like(server, "photo-0", "photo-1", "photo-2", "photo-3")

    reported = cli("feedback", "report", "--json", **env)
    assert reported.status == 0, reported.stderr
    assert json.loads(reported.stdout)["pairs"] == 2
    assert "3 verdicts deleted" in cli("feedback", "clear", "--yes", **env).stdout
    assert cli("feedback", "export", **env).stdout == ""


def test_clearing_asks_first_and_a_file_that_cannot_be_written_is_said(
    cli: Cli, env: Env, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO("n\n"))
    asked = cli("feedback", "clear", **env)
    assert asked.status == 1
    assert "deleted" not in asked.stdout
    refused = cli("feedback", "export", "-o", tmp_path / "nowhere" / "out.jsonl", **env)
    assert refused.status == 1
    assert "cannot be written" in refused.stderr
