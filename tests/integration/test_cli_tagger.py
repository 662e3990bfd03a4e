"""Taggers at the command line: a folder is tagged while it is indexed, with no server and no worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.captions import build_captioner
from tests.support.commands import Cli
from tests.support.sample_images import encoded, photo


@pytest.fixture
def env(tmp_path: Path, tiny_checkpoint: Path) -> dict[str, str]:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(3):
        (folder / f"{seed}.png").write_bytes(encoded(photo(96, 72, seed=seed), "PNG"))
    return {
        "DATA_DIR": str(tmp_path / "data"),
        "MODEL_NAME": str(tiny_checkpoint),
        "DEVICE": "cpu",
        "TAGGER": "caption",
        "CAPTION_MODEL_NAME": str(tmp_path / "captioner"),
    }


def test_a_folder_is_described_while_it_is_indexed(cli: Cli, env: dict[str, str], tmp_path: Path) -> None:
    build_captioner(tmp_path / "captioner")
    assert "3 indexed" in cli("index", tmp_path / "photos", **env).stdout

    hits = json.loads(cli("search", tmp_path / "photos" / "1.png", "--json", **env).stdout)
    descriptions = {hit["image_id"]: hit["metadata"]["description"] for hit in hits}
    assert len(descriptions) == 3
    assert "3 unchanged" in cli("index", tmp_path / "photos", **env).stdout
    words = cli("search", "--keywords", descriptions["1.png"], "--json", **env)
    assert "1.png" in [hit["image_id"] for hit in json.loads(words.stdout)]


def test_a_captioner_that_cannot_be_had_is_named(cli: Cli, env: dict[str, str], tmp_path: Path) -> None:
    for command in (("index", tmp_path / "photos"), ("serve",)):
        result = cli(*command, **env)
        assert result.status == 1
        assert "CAPTION_MODEL_NAME" in result.stderr
        assert "Traceback" not in result.stderr
    # What needs no captioner works without.
    assert cli("stats", **env).status == 0
