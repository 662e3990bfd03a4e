"""Text embeddings against those of transformers' own path: the same weights, its tokenizer, its features."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from image_similarity.domain.errors import EncodingFailed, ModelUnavailable
from image_similarity.domain.records import Embedding
from image_similarity.encoders.base import EncodedText, TextEncoder
from image_similarity.encoders.clip import text as clip_text
from image_similarity.encoders.clip.image import ClipEncoder
from random_checkpoint import Kind, build_checkpoint
from tests.support.paths import SHARED

LONG = "a dog and a cat " * 30
TEXTS = ["dog", "A Dog and a CAT", "two dogs play in the snow", "naïve café, 東京!", "x", " ", LONG]
SHARED_TOKENIZER = SHARED / "clip-vit-base-patch32" / "tokenizer.json"


class Checkpoint(NamedTuple):
    """A checkpoint on disk and what transformers makes of it."""

    path: Path
    kind: Kind
    model: Any
    tokenizer: Any

    def reference(self, texts: Sequence[str]) -> Embedding:
        config = self.model.config.text_config
        padding = "max_length" if self.kind == "siglip" else True
        limit = config.max_position_embeddings
        inputs = self.tokenizer(list(texts), padding=padding, truncation=True, max_length=limit, return_tensors="pt")
        with torch.inference_mode():
            features = self.model.get_text_features(**inputs)
        features = getattr(features, "pooler_output", features)
        unit: Embedding = torch.nn.functional.normalize(features, dim=-1).numpy()
        return unit


def make_checkpoint(path: Path, kind: Kind, size: Any) -> Checkpoint:
    build_checkpoint(path, kind=kind, size=size, seed=7)
    model_class = transformers.CLIPModel if kind == "clip" else transformers.SiglipModel
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    return Checkpoint(path, kind, model_class.from_pretrained(path).eval(), tokenizer)


@pytest.fixture(scope="module", params=["clip", "siglip"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return make_checkpoint(tmp_path_factory.mktemp(request.param), request.param, "tiny")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkpoint]:
    if not SHARED_TOKENIZER.is_file():
        pytest.skip("the tokenizer of ../shared/clip-vit-base-patch32 is not there")
    folder = tmp_path_factory.mktemp("full")
    yield make_checkpoint(folder, "clip", "full")
    shutil.rmtree(folder)  # 600 MB


def copy_of(checkpoint: Path, target: Path) -> Path:
    shutil.copytree(checkpoint, target)
    return target


def rows(encoded: Sequence[EncodedText]) -> Embedding:
    return np.stack([each.embedding for each in encoded])


def least_cosine(one: Embedding, other: Embedding) -> float:
    return float((one * other).sum(axis=1).min())


def test_embeddings_equal_the_reference(tiny: Checkpoint) -> None:
    ours = rows(clip_text.load(str(tiny.path), device="cpu").encode_texts(TEXTS))

    assert ours.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    assert least_cosine(ours, tiny.reference(TEXTS)) >= 0.9999


def test_embeddings_of_the_full_architecture_equal_the_reference(full: Checkpoint) -> None:
    tower: TextEncoder = clip_text.load(str(full.path), device="cpu")
    encoded = tower.encode_texts(TEXTS)

    assert (tower.spec.name, tower.spec.dimension, tower.spec.max_tokens) == (str(full.path), 512, 77)
    assert least_cosine(rows(encoded), full.reference(TEXTS)) >= 0.9999
    assert [each.truncated for each in encoded] == [False] * 6 + [True]


def test_a_text_of_77_tokens_is_whole_and_one_of_78_is_not(full: Checkpoint) -> None:
    tower = clip_text.load(str(full.path), device="cpu")
    whole, cut, same = tower.encode_texts(["dog " * 75, "dog " * 76, "dog " * 75 + "a cat on a table"])

    assert (whole.truncated, cut.truncated, same.truncated) == (False, True, True)
    np.testing.assert_allclose(whole.embedding, same.embedding, atol=1e-6)


def test_an_embedding_does_not_depend_on_its_company(tiny: Checkpoint) -> None:
    tower = clip_text.load(str(tiny.path), device="cpu")
    many = [f"{number} dogs and a cat" for number in range(40)]

    alone = np.concatenate([rows(tower.encode_texts([text])) for text in many])
    assert least_cosine(rows(tower.encode_texts(many)), alone) >= 0.99999


def test_no_texts_give_no_embeddings(tiny: Checkpoint) -> None:
    assert clip_text.load(str(tiny.path), device="cpu").encode_texts([]) == []


def test_case_does_not_matter(tiny: Checkpoint) -> None:
    one, other = clip_text.load(str(tiny.path), device="cpu").encode_texts(["Two Dogs", "two dogs"])
    np.testing.assert_array_equal(one.embedding, other.embedding)


def test_siglip_looks_at_its_padding_whatever_the_tokenizer_says(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "siglip", "siglip", "tiny")
    expected = checkpoint.reference(TEXTS)
    config = checkpoint.path / "tokenizer_config.json"
    settings = json.loads(config.read_text())
    config.write_text(json.dumps(settings | {"model_input_names": ["input_ids", "attention_mask"]}))

    ours = rows(clip_text.load(str(checkpoint.path), device="cpu").encode_texts(TEXTS))

    assert least_cosine(ours, expected) >= 0.9999


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_embeddings_on_a_gpu_equal_the_reference(tiny: Checkpoint) -> None:
    ours = rows(clip_text.load(str(tiny.path), device="cuda").encode_texts(TEXTS))
    assert least_cosine(ours, tiny.reference(TEXTS)) >= 0.9999


def test_a_model_that_returns_nonsense_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    broken = copy_of(tiny.path, tmp_path / "broken")
    tensors = load_file(broken / "model.safetensors")
    tensors["text_model.final_layer_norm.weight"].fill_(float("nan"))
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(EncodingFailed, match="not finite"):
        clip_text.load(str(broken), device="cpu").encode_texts(["dog"])


def test_a_checkpoint_without_its_tokenizer_still_searches_by_image(tiny: Checkpoint, tmp_path: Path) -> None:
    bare = copy_of(tiny.path, tmp_path / "bare")
    for name in ("vocab.json", "merges.txt", "spiece.model", "tokenizer.json"):
        (bare / name).unlink(missing_ok=True)

    assert ClipEncoder.load(str(bare), device="cpu", precision="fp32").spec.towers == {"image"}
    with pytest.raises(ModelUnavailable, match="lacks its tokenizer"):
        clip_text.load(str(bare), device="cpu")


def test_a_checkpoint_without_text_weights_names_one(tiny: Checkpoint, tmp_path: Path) -> None:
    bare = copy_of(tiny.path, tmp_path / "bare")
    tensors = load_file(bare / "model.safetensors")
    image_only = {name: tensor for name, tensor in tensors.items() if not name.startswith("text_")}
    save_file(image_only, bare / "model.safetensors", metadata={"format": "pt"})

    ClipEncoder.load(str(bare), device="cpu", precision="fp32")
    with pytest.raises(ModelUnavailable, match=r"lack \d+ tensors of the text tower, \S+ for one"):
        clip_text.load(str(bare), device="cpu")


@pytest.mark.parametrize("kind", ["clip_vision_model", "siglip_vision_model"])
def test_an_image_tower_alone_has_no_words(tmp_path: Path, kind: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    (tmp_path / "model.safetensors").write_bytes(b"")

    with pytest.raises(ModelUnavailable, match="an image tower alone"):
        clip_text.load(str(tmp_path), device="cpu")


@pytest.mark.parametrize("file", ["vocab.json", "tokenizer.json"])
def test_a_damaged_tokenizer_is_named(tmp_path: Path, file: str) -> None:
    checkpoint = build_checkpoint(tmp_path / "clip", size="tiny")
    (checkpoint / file).write_text("not json")

    with pytest.raises(ModelUnavailable, match=r"tokenizer of .* cannot be loaded"):
        clip_text.load(str(checkpoint), device="cpu")


def test_how_much_it_reads_is_known_without_loading_it(tiny: Checkpoint, tmp_path: Path) -> None:
    assert clip_text.max_tokens(tiny.path, "tiny") == 16
    for kind, tokens in {"clip": 77, "siglip": 64}.items():
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
        assert clip_text.max_tokens(tmp_path, kind) == tokens
