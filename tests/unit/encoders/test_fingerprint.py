"""What tells one checkpoint from another in the same place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from image_similarity.domain.errors import ModelUnavailable
from image_similarity.encoders import fingerprint as module
from image_similarity.encoders.fingerprint import fingerprint
from random_checkpoint import build_checkpoint

SMALL = 20_000
"""Bytes: more than the other files of a tiny checkpoint have, and less than its weights."""

Tensors = dict[str, torch.Tensor]
Change = Callable[[torch.Tensor], torch.Tensor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return build_checkpoint(tmp_path / "clip", size="tiny")


def write_pickle(tensors: Tensors, folder: Path) -> None:
    (folder / "model.safetensors").unlink(missing_ok=True)
    torch.save(tensors, folder / "pytorch_model.bin")


def write_safetensors(tensors: Tensors, folder: Path) -> None:
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def test_the_same_model_has_the_same_digits_wherever_it_was_written(folder: Path, tmp_path: Path) -> None:
    copy = build_checkpoint(tmp_path / "copy", size="tiny")
    os.utime(copy / "model.safetensors", (1, 1))
    assert fingerprint(copy) == fingerprint(folder)
    for name in ("README.md", "calibration.json", "flax_model.safetensors", "onnx/model.safetensors"):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text("Nothing that the model is loaded from.")
    assert fingerprint(copy) == fingerprint(folder)


def test_other_weights_in_the_same_place_are_another_model(folder: Path) -> None:
    before = fingerprint(folder)
    build_checkpoint(folder, size="tiny", seed=1)
    assert fingerprint(folder) != before


def test_another_tokenizer_and_another_module_make_another_model(folder: Path) -> None:
    before = fingerprint(folder)
    merges = folder / "merges.txt"
    merges.write_text(merges.read_text() + "x y\n")
    between = fingerprint(folder)
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"a layer")
    assert len({before, between, fingerprint(folder)}) == 3


@pytest.mark.parametrize("write", [write_safetensors, write_pickle])
@pytest.mark.parametrize(
    ("tensor", "change"),
    [
        ("text_model.final_layer_norm.bias", lambda tensor: tensor + 1e-3),
        ("text_projection.weight", lambda tensor: tensor * 1.001),
    ],
    ids=["one bias", "one layer"],
)
def test_of_large_files_samples_tell_what_was_trained(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Tensors, Path], None],
    tensor: str,
    change: Change,
) -> None:
    monkeypatch.setattr(module, "WHOLE", SMALL)
    monkeypatch.setattr(module, "_SAMPLE", 64)
    monkeypatch.setattr(module, "_SAMPLES_OF_A_PICKLE", 64)
    tensors = load_file(folder / "model.safetensors")
    write(tensors, folder)
    before = fingerprint(folder)
    write(tensors, folder)
    assert fingerprint(folder) == before
    write(tensors | {tensor: change(tensors[tensor])}, folder)
    assert fingerprint(folder) != before


def test_what_the_hubs_cache_named_by_its_content_is_not_read(folder: Path) -> None:
    def fill(name: str, content: bytes) -> None:
        blob = folder.parent / "blobs" / name
        blob.parent.mkdir(exist_ok=True)
        blob.write_bytes(content)
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors").symlink_to(blob)

    fill("0a1b", b"weights")
    before = fingerprint(folder)
    fill("0a1b", b"never read")
    assert fingerprint(folder) == before
    fill("2c3d", b"weights")
    assert fingerprint(folder) != before


def test_large_weights_that_are_none_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE", SMALL)
    (folder / "model.safetensors").write_bytes(b"<html>Not found</html>" * 1000)
    with pytest.raises(ModelUnavailable, match=r"model.safetensors cannot be read"):
        fingerprint(folder)
