"""Text towers from elsewhere: their layouts, what they compute, and what is said where one cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from image_similarity.domain.errors import ModelUnavailable
from image_similarity.domain.records import Embedding
from image_similarity.encoders.base import TextEncoder
from image_similarity.encoders.clip import text as clip_text
from image_similarity.encoders.fingerprint import fingerprint
from image_similarity.encoders.text import sentence_transformers as sentence
from random_checkpoint import build_checkpoint
from tests.support.multilingual import Layout, build_multilingual

TEXTS = ["spielende Hunde", "a red car", "two dogs playing in the snow", "Hunde", "ein a red"]
LAYOUTS: list[Layout] = ["sentence-transformers", "m-clip"]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    return clip_text.load(str(build_checkpoint(tmp_path_factory.mktemp("clip"), size="tiny")), device="cpu")


@pytest.fixture
def folder(tmp_path: Path, teacher: TextEncoder) -> Path:
    return build_multilingual(tmp_path / "multilingual", teacher)


def load(folder: Path) -> TextEncoder:
    return sentence.load(str(folder), device="cpu")


def embed(tower: TextEncoder, *texts: str) -> Embedding:
    return np.stack([each.embedding for each in tower.encode_texts(texts)])


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "pickle"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_words_of_another_language_lie_where_the_english_ones_do(
    tmp_path: Path, teacher: TextEncoder, layout: Layout, pickled: bool
) -> None:
    tower = load(build_multilingual(tmp_path / "model", teacher, layout=layout, pickled=pickled))

    german, english = embed(tower, "spielende Hunde", "playing dogs")
    own, other = embed(teacher, "playing dogs", "a red car")
    assert german @ english >= 0.999
    assert german @ own >= 0.999
    assert german @ other < german @ own - 0.05


def test_sentence_transformers_computes_the_same(folder: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    reference = library.SentenceTransformer(str(folder), device="cpu")

    expected = reference.encode(TEXTS, normalize_embeddings=True)

    assert (embed(load(folder), *TEXTS) * expected).sum(axis=1).min() >= 0.9999


def test_m_clip_is_the_masked_mean_and_a_linear_map(tmp_path: Path, teacher: TextEncoder) -> None:
    import transformers

    folder = build_multilingual(tmp_path / "m-clip", teacher, layout="m-clip", pickled=True)
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    config = transformers.XLMRobertaConfig(
        vocab_size=len(state["transformer.embeddings.word_embeddings.weight"]),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=1,
        intermediate_size=96,
        max_position_embeddings=34,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        pad_token_id=1,
    )
    model = transformers.XLMRobertaModel(config).eval()
    own = {name.removeprefix("transformer."): tensor for name, tensor in state.items() if "position_ids" not in name}
    model.load_state_dict({name: tensor for name, tensor in own.items() if "LinearTransformation" not in name})
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    expected = []
    for text in TEXTS:  # one by one, as nobody would: no padding and no mask
        with torch.inference_mode():
            pooled = model(torch.tensor([tokenizer.encode(text).ids])).last_hidden_state.mean(dim=1)
            linear = torch.nn.functional.linear(
                pooled, state["LinearTransformation.weight"], state["LinearTransformation.bias"]
            )
            expected.append(torch.nn.functional.normalize(linear, dim=1).numpy()[0])

    assert (embed(load(folder), *TEXTS) * np.stack(expected)).sum(axis=1).min() >= 0.9999


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_says_what_it_is_and_where_it_cuts(tmp_path: Path, teacher: TextEncoder, layout: Layout) -> None:
    folder = build_multilingual(tmp_path / "model", teacher, layout=layout)
    tower = load(folder)
    limit = {"sentence-transformers": 16, "m-clip": 32}[layout]

    whole, cut = tower.encode_texts(["dogs " * (limit - 2), "dogs " * (limit - 1)])

    assert (tower.spec.name, tower.spec.dimension, tower.spec.max_tokens) == (str(folder), 64, limit)
    assert tower.spec.fingerprint == fingerprint(folder)
    assert (whole.truncated, cut.truncated) == (False, True)
    np.testing.assert_allclose(whole.embedding, cut.embedding, atol=1e-6)


def test_a_clip_checkpoint_serves_as_well(tmp_path: Path, teacher: TextEncoder) -> None:
    checkpoint = build_checkpoint(tmp_path / "clip", size="tiny")

    np.testing.assert_array_equal(embed(load(checkpoint), *TEXTS), embed(teacher, *TEXTS))


def test_further_modules_are_applied_in_order(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    plain = embed(load(folder), *TEXTS)
    normalize = {"idx": 3, "name": "3", "path": "3_Normalize", "type": "sentence_transformers.models.Normalize"}
    (folder / "modules.json").write_text(json.dumps([normalize, *modules]))  # idx is what counts

    np.testing.assert_allclose(embed(load(folder), *TEXTS), plain, atol=1e-6)

    edit(folder / "2_Dense" / "config.json", activation_function="torch.nn.modules.activation.Tanh")
    assert abs(embed(load(folder), *TEXTS) - plain).max() > 1e-4


def test_the_first_token_may_stand_for_the_text(folder: Path) -> None:
    mean = embed(load(folder), *TEXTS)
    edit(folder / "1_Pooling" / "config.json", pooling_mode_mean_tokens=False, pooling_mode_cls_token=True)

    assert abs(embed(load(folder), *TEXTS) - mean).max() > 1e-3


def drop(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def change(name: str, **changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / name, **changes)


def write(name: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content) and None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (drop("tokenizer.json"), r"tokenizer\.json"),
        (write("tokenizer.json", "{}"), r"tokenizer of .* cannot be read"),
        (drop("model.safetensors"), r"lacks its weights"),
        (drop("1_Pooling/config.json"), r"lacks 1_Pooling/config\.json"),
        (drop("2_Dense/config.json"), r"lacks 2_Dense/config\.json"),
        (drop("2_Dense/model.safetensors"), r"lacks its weights \(2_Dense/model\.safetensors or 2_Dense/pytorch_mo"),
        (write("2_Dense/model.safetensors", "x"), r"dense layer of .* cannot be loaded"),
        (change("2_Dense/config.json", in_features=32), r"dense layer of .* cannot be loaded"),
        (change("2_Dense/config.json", activation_function="my.own.Wave"), r"activation Wave; these are: Identity"),
        (change("1_Pooling/config.json", pooling_mode_max_tokens=True), r"pools by max, mean; mean or cls"),
        (change("1_Pooling/config.json", pooling_mode_mean_tokens=False), r"pools by nothing"),
        (write("modules.json", "[]"), r"begins with nothing"),
        (write("modules.json", "{}"), r"modules\.json of .* cannot be read"),
        (write("modules.json", '[{"idx": 0, "type": "a.CLIPModel", "path": ""}]'), r"begins with CLIPModel"),
        (change("config.json", n_layers=3), r"lack \d+ tensors"),
        (write("model.safetensors", "x"), r"cannot be loaded"),
    ],
)
def test_what_cannot_be_read_is_named(folder: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(folder)

    with pytest.raises(ModelUnavailable, match=said):
        load(folder)


def test_a_module_that_is_not_known_is_named(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["type"] = "sentence_transformers.models.LSTM"
    (folder / "modules.json").write_text(json.dumps(modules))

    with pytest.raises(ModelUnavailable, match="module LSTM"):
        load(folder)


def test_an_m_clip_that_lacks_a_tensor_names_it(tmp_path: Path, teacher: TextEncoder) -> None:
    folder = build_multilingual(tmp_path / "m-clip", teacher, layout="m-clip", pickled=True)
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    del state["transformer.encoder.layer.1.output.dense.bias"]
    torch.save(state, folder / "pytorch_model.bin")

    with pytest.raises(ModelUnavailable, match=r"lacks 1 tensors, encoder\.layer\.1\.output\.dense\.bias"):
        load(folder)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").write_bytes(b"")

    with pytest.raises(ModelUnavailable, match="no text tower this program knows"):
        load(tmp_path)
