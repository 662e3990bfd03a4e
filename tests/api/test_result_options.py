"""Automatic threshold, diversity, duplicates and groups, through real servers over both stores."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Cli
from tests.support.paths import REPOSITORY
from tests.support.qdrant_process import QdrantProcess
from tests.support.sample_images import encoded, photo
from tests.support.servers import RunningServer, make_settings, running_server

SUBJECTS = 24
PHOTO = encoded(photo(seed=0), "JPEG", quality=90)
IMAGE = base64.b64encode(PHOTO).decode()
PATHS = ("/search", "/search/text", "/images/photo-0/similar")


@pytest.fixture(scope="module", params=["embedded", "server"])
def album(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path
) -> Iterator[RunningServer]:
    """Return a server with one photo of each of many subjects, and a few copies of the first."""
    # Random weights find all pictures rather alike, and copies very much so.
    given: dict[str, Any] = {"log_level": "ERROR", "duplicate_similarity": 0.9999}
    if request.param == "server":
        qdrant: QdrantProcess = request.getfixturevalue("qdrant")
        given |= {
            "qdrant_url": qdrant.url,
            "qdrant_grpc_port": qdrant.grpc_port,
            "qdrant_collection_name": "trusted",
        }
    with running_server(make_settings(tmp_path_factory.mktemp("data"), tiny_checkpoint, **given)) as server:
        for number in range(SUBJECTS):
            metadata = {"shelf": ["a", "b", "c"][number % 3], "number": number, "even": number % 2 == 0}
            data = encoded(photo(seed=number), "JPEG", quality=90)
            server.index(data, image_id=f"photo-{number}", metadata=json.dumps(metadata))
        copies = {
            "smaller": encoded(photo(seed=0).resize((160, 120)), "PNG"),
            "poorer": encoded(photo(seed=0), "JPEG", quality=70),
            "the-same": PHOTO,
        }
        for name, data in copies.items():
            server.index(data, image_id=name, metadata='{"shelf": "copies"}')
        yield server


def ask(server: RunningServer, **fields: Any) -> dict[str, Any]:
    answer = server.http.post("/search", json={"image_data": IMAGE, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer: dict[str, Any]) -> list[str]:
    return [hit["image_id"] for hit in answer["results"]]


COPIES = {"photo-0", "the-same", "smaller", "poorer"}


def test_an_automatic_threshold_keeps_the_copies_and_says_where_it_cut(album: RunningServer) -> None:
    answer = ask(album, threshold="auto", top_k=50)
    assert set(ids(answer)) == COPIES
    assert answer["results"][-1]["score"] >= answer["threshold"] > 0.99
    everything = ask(album, top_k=50)
    assert everything["threshold"] is None
    assert everything["results"][4]["score"] < answer["threshold"]
    assert ask(album, threshold=0.5)["threshold"] == 0.5


def test_copies_are_one_result_that_names_them(album: RunningServer) -> None:
    answer = ask(album, collapse_duplicates=True, top_k=3)
    first = answer["results"][0]
    assert {first["image_id"], *first["duplicates"]} == COPIES
    assert len(answer["results"]) == 3
    assert all(hit["duplicates"] == [] for hit in answer["results"][1:])


def test_results_are_grouped_by_metadata(album: RunningServer) -> None:
    answer = ask(album, group_by="shelf", group_size=2, top_k=3)
    groups = [hit["group"] for hit in answer["results"]]
    assert len(groups) == 6
    assert groups[::2] == groups[1::2]
    assert set(groups) < {"a", "b", "c", "copies"}
    assert all(hit["metadata"]["shelf"] == hit["group"] for hit in answer["results"])
    by_truth = ask(album, group_by="even", group_size=1)["results"]
    assert {hit["group"] for hit in by_truth} == {True, False}
    assert all(hit["metadata"] is None for hit in ask(album, group_by="shelf", with_metadata=False)["results"])
    assert ask(album, group_by="nothing")["results"] == []
    in_ranges = ask(album, group_by="number", group_step=10, group_size=3)["results"]
    assert {hit["group"] for hit in in_ranges} == {hit["metadata"]["number"] // 10 * 10 for hit in in_ranges}
    assert ask(album, group_by="number", group_step="month")["results"] == [], "numbers are no times"


def test_diverse_results_are_other_ones_with_the_same_scores(album: RunningServer) -> None:
    plain = {hit["image_id"]: hit["score"] for hit in ask(album, top_k=100)["results"]}
    diverse = ask(album, diversity=0.9, top_k=5)
    assert len(COPIES & set(ids(diverse))) == 1
    assert {hit["image_id"]: hit["score"] for hit in diverse["results"]} == {
        name: pytest.approx(plain[name], abs=1e-5) for name in ids(diverse)
    }


def test_everything_goes_together_and_comes_from_the_cache_as_it_was(album: RunningServer) -> None:
    fields = {
        "threshold": "auto",
        "collapse_duplicates": True,
        "group_by": "shelf",
        "diversity": 0.2,
        "filter": {"shelf": ["a", "copies"]},
    }
    first, second = ask(album, **fields), ask(album, **fields)
    assert (first["cached"], second["cached"]) == (False, True)
    for name in ("results", "threshold", "total_found"):
        assert first[name] == second[name]
    [hit] = first["results"]
    assert {hit["image_id"], *hit["duplicates"]} == COPIES


def test_the_options_work_for_an_indexed_image_and_in_a_form(album: RunningServer) -> None:
    similar = album.http.post("/images/photo-0/similar", json={"threshold": "auto", "collapse_duplicates": True}).json()
    [hit] = similar["results"]
    assert {hit["image_id"], *hit["duplicates"]} == COPIES - {"photo-0"}
    form = album.search(PHOTO, threshold="auto", collapse_duplicates="true", group_by="shelf", group_size="1")
    assert (
        form["results"]
        == ask(album, threshold="auto", collapse_duplicates=True, group_by="shelf", group_size=1)["results"]
    )
    assert form["results"]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"threshold": "automatic"}, "threshold"),
        ({"diversity": 1.1}, "diversity"),
        ({"diversity": 0.5, "top_k": 1000}, "at most 256"),
        ({"group_by": "a..b"}, "a..b"),
        ({"group_by": ""}, "group_by"),
        ({"group_by": "a", "group_size": 0}, "group_size"),
        ({"group_by": "a", "group_step": 0}, "group_step"),
        ({"group_by": "a", "group_step": "week"}, "a number above 0"),
        ({"group_step": 5}, "group_by"),
        ({"collapse_duplicates": "yes"}, "collapse_duplicates"),
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_options_without_sense_are_refused(
    album: RunningServer, path: str, fields: dict[str, Any], complaint: str
) -> None:
    subject = {"/search": {"image_data": IMAGE}, "/search/text": {"text": "a cat"}}.get(path, {})
    answer = album.http.post(path, json={**subject, **fields})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert complaint in answer.text


def test_the_examples_of_the_document_work_as_they_stand(album: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(PHOTO)
    text = (REPOSITORY / "docs" / "API.md").read_text()
    section = text[text.index("### Results") :]
    blocks = re.findall(r"^```bash\n(.*?)^```$", section[: section.index("\n### ", 5)], re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        script = block.replace("localhost:8000", album.url.removeprefix("http://"))
        script = (
            script.replace("cats/tom.jpg", "photo-0")
            .replace("species", "shelf")
            .replace("curl ", "curl -sS --fail-with-body ")
        )
        done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (script, done.stdout, done.stderr)
        assert json.loads(done.stdout)["results"], script


def test_the_command_line_has_the_same_options(album: RunningServer, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(PHOTO)

    def search(*options: str) -> str:
        result = cli("search", tmp_path / "cat.jpg", "--url", album.url, *options)
        assert result.status == 0, result.stderr
        # The server is in this process, and may log to the same place.
        return "".join(line for line in result.stdout.splitlines(keepends=True) if "request_id=" not in line)

    alone = search("--threshold", "auto", "--collapse-duplicates")
    assert "+3 alike" in alone
    assert len(alone.splitlines()) == 2
    grouped = search("--group-by", "shelf", "--group-size", "1")
    assert "group" in grouped.splitlines()[0]
    assert re.findall(r"^ *(\d+) ", grouped, re.MULTILINE) == ["1", "2", "3", "4"]
    [best, *_] = json.loads(search("--diversity", "0.9", "--top-k", "4", "--json"))
    assert best["image_id"] in COPIES
    assert "Nothing stands out" in search("--threshold", "auto", "--filter", '{"number": {"gte": 5}}')
    assert "Nothing scores 1.0000" in search("--threshold", "1", "--filter", '{"number": {"gte": 5}}')
    for wrong in ("2", "soon", "nan"):
        refused = cli("search", tmp_path / "cat.jpg", "--url", album.url, "--threshold", wrong)
        assert refused.status == 1
        assert "from -1 to 1, or auto" in refused.stderr
