"""Checkpoints that are damaged, incomplete or of another kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from image_similarity.domain.errors import EncodingFailed, ModelUnavailable
from image_similarity.encoders.clip.image import ClipEncoder
from random_checkpoint import build_checkpoint
from tests.support.sample_images import photo


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Build a checkpoint for a test to damage."""
    return build_checkpoint(tmp_path / "damaged")


def load(path: Path) -> ClipEncoder:
    return ClipEncoder.load(str(path), device="cpu", precision="fp32")


def encode_one(encoder: ClipEncoder) -> None:
    encoder.encode_images(encoder.preprocess(photo())[None])


def test_loading_is_silent(damaged: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load(damaged)

    assert capfd.readouterr() == ("", "")


def alter(checkpoint: Path, change: Any) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    change(weights)
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_fail_the_encoding(damaged: Path, value: float) -> None:
    alter(damaged, lambda weights: weights["visual_projection.weight"][3].fill_(value))
    encoder = load(damaged)

    with pytest.raises(EncodingFailed, match="not finite"):
        encode_one(encoder)


def test_a_zero_vector_fails_the_encoding(damaged: Path) -> None:
    alter(damaged, lambda weights: weights["visual_projection.weight"].zero_())
    encoder = load(damaged)

    with pytest.raises(EncodingFailed):
        encode_one(encoder)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100_000])


def scribble(path: Path) -> None:
    path.write_bytes(b"this is no weight file" * 1000)


@pytest.mark.parametrize("damage", [cut_short, scribble])
def test_a_damaged_weight_file_is_a_clear_error(damaged: Path, damage: Any) -> None:
    damage(damaged / "model.safetensors")

    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        load(damaged)


def test_missing_tensors_are_not_left_at_random(damaged: Path) -> None:
    alter(damaged, lambda weights: weights.pop("vision_model.post_layernorm.weight"))

    with pytest.raises(ModelUnavailable, match="lack 1 tensors"):
        load(damaged)


def test_tensors_of_another_shape_are_a_clear_error(damaged: Path) -> None:
    alter(damaged, lambda weights: weights.update({"visual_projection.weight": torch.ones(7, 64)}))

    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        load(damaged)


@pytest.mark.parametrize("model_type", ["bert", "siglip2", None, []])
def test_another_kind_of_model_is_refused_by_name(damaged: Path, model_type: Any) -> None:
    (damaged / "config.json").write_text(json.dumps({"model_type": model_type}))

    with pytest.raises(ModelUnavailable, match="not supported"):
        load(damaged)


@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
def test_a_damaged_config_is_a_clear_error(damaged: Path, content: str) -> None:
    (damaged / "config.json").write_text(content, encoding="latin-1")

    with pytest.raises(ModelUnavailable, match=r"config\.json"):
        load(damaged)


def test_a_preprocessor_of_another_size_is_refused(damaged: Path) -> None:
    (damaged / "preprocessor_config.json").write_text(json.dumps({"size": 64, "crop_size": 64}))

    with pytest.raises(ModelUnavailable, match="64 pixels, its image tower takes 32"):
        load(damaged)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    one, same, other = (
        build_checkpoint(tmp_path / name, seed=seed) / "model.safetensors"
        for name, seed in [("a", 1), ("b", 1), ("c", 2)]
    )

    assert one.read_bytes() == same.read_bytes() != other.read_bytes()
