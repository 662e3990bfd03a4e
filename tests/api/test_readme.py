"""What the README, docs/API.md and docs/SETTINGS.md show is true."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from generate import settings
from generate.files import stale
from image_similarity.settings import Settings
from tests.support.commands import Cli
from tests.support.paths import REPOSITORY
from tests.support.sample_images import encoded, photo
from tests.support.servers import RunningServer

README = (REPOSITORY / "README.md").read_text()
API = REPOSITORY / "docs" / "API.md"


def test_the_settings_document_shows_the_settings_as_they_are() -> None:
    assert stale(settings.files(), settings.there()) == [], "run scripts/generate.py"
    text = settings.TARGET.read_text()
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| .* \| (.*) \|$", text, re.MULTILINE))
    assert rows == {name.upper(): field.description for name, field in Settings.model_fields.items()}


def test_a_test_runs_every_command_of_the_readme() -> None:
    """CI runs the scripts, the tests below the lines for the shell and curl, tests/kubernetes the line for Helm."""
    known = (
        "./scripts/run.sh ",
        "./scripts/test.sh ",
        ". .venv/bin/activate",
        "image-similarity ",
        "curl ",
        "helm install ",
    )
    lines = [
        line
        for block in re.findall(r"^```bash\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
        if line
    ]
    assert [line for line in lines if not line.startswith(known)] == []
    shell = README.partition("## Use it from the shell")[2].partition("\n## ")[0]
    assert README.count("\nimage-similarity ") == shell.count("\nimage-similarity ") == 5


def test_the_curl_lines_work_as_they_stand(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(encoded(photo(), "JPEG"))
    lines = [line for line in README.splitlines() if line.startswith("curl ")]
    assert len(lines) == 6
    answers = []
    for line in lines:
        ours = line.replace("localhost:8000", server.url.removeprefix("http://"))
        done = subprocess.run(
            ["bash", "-c", ours.replace("curl ", "curl -sS --fail-with-body ", 1)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (ours, done.stdout, done.stderr)
        answers.append(done.stdout)
    indexed, found, found_by_json, similar, described, _ = (json.loads(answer or "{}") for answer in answers)
    assert indexed["message"] == "indexed"
    for answer in (found, found_by_json):
        assert answer["results"][0]["image_id"] == "cats/tom.jpg"
        assert answer["results"][0]["score"] == pytest.approx(1, abs=1e-3)
    assert similar["results"] == []
    assert [hit["image_id"] for hit in described["results"]] == ["cats/tom.jpg"]
    assert (tmp_path / "cat.webp").read_bytes()[8:12] == b"WEBP"


def test_the_lines_for_the_shell_work_as_they_stand(server: RunningServer, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for seed, name in enumerate(("cat.jpg", "photos/bus.jpg", "photos/dogs.jpg")):
        (tmp_path / name).write_bytes(encoded(photo(seed=seed), "JPEG"))
    section = README.partition("## Use it from the shell")[2].partition("```bash\n")[2].partition("```")[0]
    lines = [line for line in section.splitlines() if line.startswith("image-similarity ")]
    told = []
    for line in lines:
        words = [
            word.replace("http://photos.internal:8000", server.url) for word in shlex.split(line, comments=True)[1:]
        ]
        done = cli(*words, *(() if "--url" in words else ("--url", server.url)))
        assert done.status == 0, (line, done.stderr)
        told.append(done.stdout)
    indexed, alike, described, worded, figures = told
    assert "2 indexed" in indexed
    assert "bus.jpg" in alike
    assert "dogs.jpg" in described
    assert 'no image has a word of "red bus"' in worded
    assert "2 in the collection" in figures


def test_the_examples_of_the_api_document_for_images_work_as_they_stand(server: RunningServer) -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```$", API.read_text(), re.MULTILINE | re.DOTALL)
    server.index(encoded(photo(), "JPEG"), image_id="cats/tom.jpg", metadata='{"species": "cat", "draft": true}')
    ours = [block for block in blocks if "/facets" in block or "/images/" in block]
    assert len(ours) == 3
    answers = []
    for block in ours:
        script = block.replace("localhost:8000", server.url.removeprefix("http://"))
        script = script.replace("curl ", "curl -sS --fail-with-body -w '\\n' ")
        done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (script, done.stdout, done.stderr)
        answers += [json.loads(line) for line in done.stdout.splitlines()]
    facets, patched, deleted, restored = answers
    assert {field["field"] for field in facets["fields"]} == {"species", "draft"}
    assert patched["metadata"] == {"species": "cat", "year": 2025, "owner": {"name": "Kim"}}
    assert deleted["restorable_until"] is not None
    assert restored == patched


@pytest.mark.parametrize("about", ['"positive": [', "/feedback"])
def test_the_examples_of_the_api_document_for_feedback_work_as_they_stand(server: RunningServer, about: str) -> None:
    for seed, image_id in enumerate(("cats/tom.jpg", "cats/kim.jpg", "dogs/rex.jpg", "cats/new.jpg")):
        server.index(encoded(photo(seed=seed), "JPEG"), image_id=image_id)
    server.http.delete("/feedback")
    blocks = re.findall(r"^```bash\n(.*?)^```$", API.read_text(), re.MULTILINE | re.DOTALL)
    [block] = [block for block in blocks if about in block]
    script = block.replace("localhost:8000", server.url.removeprefix("http://"))
    script = script.replace("curl ", "curl -sS --fail-with-body -w '\\n' ")
    done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line]
    if about == "/feedback":
        kept, exported = answers
        assert exported == kept
    else:
        assert [hit["image_id"] for hit in answers[0]["results"]] == ["cats/new.jpg"]
