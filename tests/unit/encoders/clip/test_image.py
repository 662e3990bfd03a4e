"""Embeddings against those of transformers' own path: the same weights, its image processor, its features."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from image_similarity.domain.errors import ModelUnavailable
from image_similarity.domain.records import Embedding
from image_similarity.encoders import hub
from image_similarity.encoders.clip.image import ClipEncoder
from image_similarity.encoders.clip.onednn import OneDnnVisionTower
from random_checkpoint import Kind, build_checkpoint
from tests.support.paths import SHARED
from tests.support.sample_images import noise, photo

PHOTOS = sorted((SHARED / "images").glob("*"))[:6]
SIZES = [(1, 1), (3, 500), (500, 3), (224, 224), (640, 480), (480, 640), (31, 47)]
LEAST_COSINE = {"fp32": 0.9999, "bf16": 0.999, "fp16": 0.999}


class Checkpoint(NamedTuple):
    """A checkpoint on disk and what transformers makes of it."""

    path: Path
    model: Any
    processor: Any

    def reference(self, images: list[Image.Image]) -> Embedding:
        with torch.inference_mode():
            pixels = self.processor(images, return_tensors="pt")["pixel_values"]
            features = self.model.get_image_features(pixel_values=pixels)
        features = getattr(features, "pooler_output", features)
        unit: Embedding = torch.nn.functional.normalize(features, dim=-1).numpy()
        return unit


def make_checkpoint(path: Path, kind: Kind, size: Any) -> Checkpoint:
    build_checkpoint(path, kind=kind, size=size, seed=7)
    model_name, processor_name = (
        ("CLIPModel", "CLIPImageProcessor") if kind == "clip" else ("SiglipModel", "SiglipImageProcessor")
    )
    processor_kind = getattr(transformers, f"{processor_name}Pil", None) or getattr(transformers, processor_name)
    model = getattr(transformers, model_name).from_pretrained(path).eval()
    return Checkpoint(path, model, processor_kind.from_pretrained(path))


@pytest.fixture(scope="module", params=["clip", "siglip"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return make_checkpoint(tmp_path_factory.mktemp(request.param), request.param, "tiny")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkpoint]:
    folder = tmp_path_factory.mktemp("full")
    yield make_checkpoint(folder, "clip", "full")
    shutil.rmtree(folder)  # 600 MB


def load(path: Path | str, precision: str = "fp32") -> ClipEncoder:
    return ClipEncoder.load(str(path), device="cpu", precision=precision)


def embed(encoder: ClipEncoder, images: list[Image.Image]) -> Embedding:
    return encoder.encode_images(np.stack([encoder.preprocess(image) for image in images]))


def pictures() -> list[Image.Image]:
    drawn = [draw(*size, seed=n) for n, size in enumerate(SIZES) for draw in (photo, noise)]
    return drawn + [Image.open(path).convert("RGB") for path in PHOTOS]


def least_cosine(one: Embedding, other: Embedding) -> float:
    return float((one * other).sum(axis=1).min())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_embeddings_equal_the_reference(tiny: Checkpoint, precision: str) -> None:
    images = pictures()

    ours = embed(load(tiny.path, precision), images)

    assert least_cosine(ours, tiny.reference(images)) >= LEAST_COSINE[precision]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_embeddings_of_the_full_architecture_equal_the_reference(full: Checkpoint, precision: str) -> None:
    images = pictures()[-6:]
    encoder = load(full.path, precision)

    ours = embed(encoder, images)

    assert ours.shape == (6, 512)
    assert encoder.spec.input_size == 224
    assert least_cosine(ours, full.reference(images)) >= LEAST_COSINE[precision]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_embeddings_on_a_gpu_equal_the_reference(tiny: Checkpoint, precision: str) -> None:
    images = pictures()
    encoder = ClipEncoder.load(str(tiny.path), device="cuda", precision=precision)

    assert encoder.device == "cuda"
    assert least_cosine(embed(encoder, images), tiny.reference(images)) >= LEAST_COSINE[precision]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_plain_model_answers_where_the_packed_one_cannot(
    tiny: Checkpoint, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, model: Any, dtype: torch.dtype) -> None:
        raise AttributeError("another version of transformers")

    monkeypatch.setattr(OneDnnVisionTower, "__init__", fail)
    images = pictures()

    assert least_cosine(embed(load(tiny.path, precision), images), tiny.reference(images)) >= LEAST_COSINE[precision]


def test_the_plain_model_answers_where_the_packed_one_answers_wrongly(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OneDnnVisionTower, "__call__", lambda self, pixels: torch.ones(len(pixels), 64))
    images = pictures()

    assert least_cosine(embed(load(tiny.path), images), tiny.reference(images)) >= LEAST_COSINE["fp32"]


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="what oneDNN packs elsewhere is not known")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_packed_model_is_what_runs_on_this_cpu(tiny: Checkpoint, precision: str) -> None:
    if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("oneDNN does not multiply in bf16 on this CPU")
    assert isinstance(load(tiny.path, precision)._tower, OneDnnVisionTower)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_company_in_the_batch_does_not_matter(tiny: Checkpoint, precision: str) -> None:
    encoder = load(tiny.path, precision)
    images = [photo(64, 48, seed=seed) for seed in range(32)]

    together = embed(encoder, images)
    alone = np.concatenate([embed(encoder, [image]) for image in images])

    assert least_cosine(together, alone) >= 0.9999


def test_embeddings_are_unit_vectors_in_float32(tiny: Checkpoint) -> None:
    encoder = load(tiny.path, "bf16")

    embeddings = embed(encoder, [photo(seed=1), photo(seed=2)])

    assert embeddings.shape == (2, encoder.spec.dimension)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)


def test_loading_twice_gives_the_same_vectors(tiny: Checkpoint) -> None:
    images = [photo()]

    np.testing.assert_array_equal(embed(load(tiny.path), images), embed(load(tiny.path), images))


def test_an_unlisted_checkpoint_describes_itself(tiny: Checkpoint) -> None:
    encoder = load(tiny.path)

    assert encoder.spec.name == str(tiny.path)
    assert (encoder.spec.dimension, encoder.spec.input_size) == (64, 32)
    assert encoder.spec.towers == {"image", "text"}
    assert (encoder.device, encoder.precision) == ("cpu", "fp32")


def test_a_listed_name_keeps_its_description(tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "locate", lambda name: tiny.path)

    spec = load("openai/clip-vit-base-patch32").spec

    assert spec.name == "openai/clip-vit-base-patch32"
    assert spec.licence == "MIT"


def test_automatic_choices_are_reported(tiny: Checkpoint) -> None:
    encoder = ClipEncoder.load(str(tiny.path), device="auto", precision="auto")

    assert encoder.device in {"cpu", "cuda", "mps"}
    assert encoder.precision in {"bf16", "fp16", "fp32"}


def test_an_empty_batch_is_an_empty_answer(tiny: Checkpoint) -> None:
    assert load(tiny.path).encode_images(np.empty((0, 32, 32, 3), dtype=np.uint8)).shape == (0, 64)


def test_batches_need_not_be_writable_or_contiguous(tiny: Checkpoint) -> None:
    encoder = load(tiny.path)
    batch = np.stack([encoder.preprocess(photo(seed=n)) for n in range(4)])
    expected = encoder.encode_images(batch[::2].copy())
    batch.flags.writeable = False

    np.testing.assert_allclose(encoder.encode_images(batch[::2]), expected, atol=1e-6)


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((32, 32, 3), dtype=np.uint8),
        np.zeros((1, 3, 32, 32), dtype=np.uint8),
        np.zeros((1, 64, 64, 3), dtype=np.uint8),
        np.zeros((1, 32, 32, 3), dtype=np.float32),
    ],
)
def test_a_batch_of_another_shape_or_type_is_refused(tiny: Checkpoint, batch: Any) -> None:
    with pytest.raises(ValueError, match="uint8"):
        load(tiny.path).encode_images(batch)


def test_a_vision_only_checkpoint_is_enough(tiny: Checkpoint, tmp_path: Path) -> None:
    kind = "CLIPVisionModelWithProjection" if tiny.model.config.model_type == "clip" else "SiglipVisionModel"
    config = tiny.model.config.vision_config
    config.projection_dim = 64
    getattr(transformers, kind).from_pretrained(tiny.path, config=config).save_pretrained(tmp_path)
    shutil.copy(tiny.path / "preprocessor_config.json", tmp_path)

    np.testing.assert_allclose(embed(load(tmp_path), [photo()]), tiny.reference([photo()]), atol=1e-5)


def test_a_pickled_checkpoint_is_read_too(tiny: Checkpoint, tmp_path: Path) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(tiny.path / name, tmp_path)
    torch.save(tiny.model.state_dict(), tmp_path / "pytorch_model.bin")

    np.testing.assert_allclose(embed(load(tmp_path), [photo()]), tiny.reference([photo()]), atol=1e-5)


def test_a_device_that_is_not_there_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="is no device"):
        ClipEncoder.load(str(tmp_path), device="abacus", precision="auto")
