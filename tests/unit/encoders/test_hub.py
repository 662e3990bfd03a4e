"""Finding checkpoints on this machine, and names that lead nowhere."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from image_similarity.domain.errors import ModelUnavailable
from image_similarity.encoders import hub

NAME = "somebody/some-clip"


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    released = threading.Event()

    class Stuck:
        def model_info(self, *args: Any, **options: Any) -> None:
            released.wait(30)

    monkeypatch.setattr(hub, "HfApi", Stuck)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *args: None)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    started = time.monotonic()
    try:
        with pytest.raises(ModelUnavailable, match="cannot be reached"):
            hub.locate(NAME, timeout_seconds=0.2)
        assert time.monotonic() - started < 15
    finally:
        released.set()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("minni", 'Did you mean "mini"?'),
        ("openai/clip-vit-base-path32", 'Did you mean "openai/clip-vit-base-patch32"?'),
        (NAME, None),
    ],
)
def test_a_name_that_is_nearly_a_usual_one_gets_that_one_named(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str | None
) -> None:
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *args: None)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailable) as caught:
        hub.locate(name)
    assert meant in str(caught.value) if meant else "Did you mean" not in str(caught.value)


def write(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_a_complete_folder_is_itself(tmp_path: Path, weights: str) -> None:
    folder = write(tmp_path / "model", "config.json", weights)

    assert hub.locate(str(folder)) == folder
    assert hub.is_available_locally(str(folder))


def test_a_folder_of_shards_is_complete_with_the_last_of_them(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", "config.json", "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    with pytest.raises(ModelUnavailable, match=r"lacks model-2\.safetensors"):
        hub.locate(str(folder))
    write(folder, "model-2.safetensors")

    assert hub.locate(str(folder)) == folder


@pytest.mark.parametrize(
    ("files", "lacks"),
    [
        ([], r"config\.json"),
        (["model.safetensors"], r"config\.json"),
        (["config.json"], r"its weights \(model\.safetensors or pytorch_model\.bin\)"),
        (["config.json", "model.safetensors.index.json"], r"a readable model\.safetensors\.index\.json"),
    ],
)
def test_an_incomplete_folder_says_what_it_lacks(tmp_path: Path, files: list[str], lacks: str) -> None:
    folder = write(tmp_path / "model", *files)

    with pytest.raises(ModelUnavailable, match=f"lacks {lacks}"):
        hub.locate(str(folder))
    assert not hub.is_available_locally(str(folder))


@pytest.mark.parametrize("name", ["/no/such/folder", "./nor-this", "~/nor-that", "C:\\models\\clip"])
def test_a_path_to_nothing_is_not_looked_up_on_the_hub(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HfApi", None)

    with pytest.raises(ModelUnavailable, match="There is no folder"):
        hub.locate(name)
    assert not hub.is_available_locally(name)


@pytest.mark.parametrize("name", ["", "a/b/c", "sp ace", "über/modell", "-x", "x..y"])
def test_a_name_the_hub_cannot_have_is_refused(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "HfApi", None)

    with pytest.raises(ModelUnavailable):
        hub.locate(name)
    assert not hub.is_available_locally(name)
