"""Tiny text towers of true structure that know a few words of two languages, aligned to another tower on the spot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from image_similarity.encoders.base import TextEncoder
from image_similarity.encoders.text.alignment import SENTENCES
from toy_tokenizers import write_word_tokenizer

TRANSLATIONS = {
    "spielende Hunde": "playing dogs",
    "playing dogs": "playing dogs",
    "ein rotes Auto": "a red car",
    "a red car": "a red car",
    "une voiture rouge": "a red car",
}
"""What a tower learns beside the sentences of the alignment check -> what its teacher reads."""

Layout = Literal["sentence-transformers", "m-clip"]
_WIDTH = 64


def build_multilingual(
    folder: Path,
    teacher: TextEncoder | None,
    *,
    layout: Layout = "sentence-transformers",
    pickled: bool = False,
    dimension: int = 64,
) -> Path:
    """Write a checkpoint whose tower places translations where `teacher` places the English; return the folder.

    A random transformer, and the projection that the least squares ask for. Without a teacher that is random too.
    """
    folder.mkdir(parents=True)
    texts = [*SENTENCES, *TRANSLATIONS]
    words = sorted({word for text in texts for word in text.lower().split()})
    size = write_word_tokenizer(folder, words, roberta=layout == "m-clip")
    transformer = _transformer(layout, size)
    if teacher is None:
        generator = torch.Generator().manual_seed(1)
        weight, bias = torch.randn(dimension, _WIDTH, generator=generator), torch.zeros(dimension)
    else:
        wanted = teacher.encode_texts([*SENTENCES, *TRANSLATIONS.values()])
        pooled = _pool(transformer, folder, texts)
        weight, bias = _fit(pooled, np.stack([each.embedding for each in wanted]), with_bias=layout == "m-clip")
    if layout == "m-clip":
        _write_mclip(folder, transformer, weight, bias, pickled=pickled)
    else:
        _write_modules(folder, transformer, weight, pickled=pickled)
    return folder


def _transformer(layout: Layout, vocabulary: int) -> Any:
    import transformers as library

    transformers: Any = library
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        if layout == "m-clip":
            config = transformers.XLMRobertaConfig(
                vocab_size=vocabulary,
                hidden_size=_WIDTH,
                num_hidden_layers=2,
                num_attention_heads=1,
                intermediate_size=96,
                max_position_embeddings=34,
                type_vocab_size=1,
                layer_norm_eps=1e-5,
                pad_token_id=1,
            )
            return transformers.XLMRobertaModel(config).eval()
        config = transformers.DistilBertConfig(
            vocab_size=vocabulary, dim=_WIDTH, n_layers=2, n_heads=4, hidden_dim=96, max_position_embeddings=32
        )
        return transformers.DistilBertModel(config).eval()


def _pool(transformer: Any, folder: Path, texts: Sequence[str]) -> Tensor:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    with torch.inference_mode():  # one by one: no padding, no mask
        encoded = [torch.tensor([tokenizer.encode(text).ids]) for text in texts]
        return torch.cat([transformer(input_ids=ids).last_hidden_state.mean(dim=1) for ids in encoded])


def _fit(pooled: Tensor, wanted: np.ndarray, *, with_bias: bool) -> tuple[Tensor, Tensor]:
    """Return the weight, (dimension, width), and bias that map `pooled`, (n, width), to `wanted`, (n, dimension)."""
    inputs = pooled.numpy().astype(np.float64)
    if with_bias:
        inputs = np.hstack([inputs, np.ones((len(inputs), 1))])
    solution = np.linalg.lstsq(inputs, wanted.astype(np.float64), rcond=None)[0].T
    weight = torch.from_numpy(solution[:, :_WIDTH].astype(np.float32).copy())
    bias = torch.from_numpy(solution[:, _WIDTH].astype(np.float32).copy()) if with_bias else torch.zeros(len(weight))
    return weight, bias


def _write_modules(folder: Path, transformer: Any, weight: Tensor, *, pickled: bool) -> None:
    transformer.save_pretrained(folder)
    if pickled:
        (folder / "model.safetensors").unlink()
        torch.save(transformer.state_dict(), folder / "pytorch_model.bin")
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense"}
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(kinds.items())
    ]
    _write(folder / "modules.json", modules)
    _write(folder / "sentence_bert_config.json", {"max_seq_length": 16, "do_lower_case": False})
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    _write(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **special})
    modes = {"cls_token": False, "mean_tokens": True, "max_tokens": False, "mean_sqrt_len_tokens": False}
    pooling = {f"pooling_mode_{mode}": on for mode, on in modes.items()}
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": _WIDTH, **pooling})
    identity = "torch.nn.modules.linear.Identity"
    dense = {"in_features": _WIDTH, "out_features": len(weight), "bias": False, "activation_function": identity}
    _write(folder / "2_Dense" / "config.json", dense)
    _save({"linear.weight": weight}, folder / "2_Dense", pickled=pickled)


def _write_mclip(folder: Path, transformer: Any, weight: Tensor, bias: Tensor, *, pickled: bool) -> None:
    config = {"model_type": "M-CLIP", "modelBase": "xlm-roberta-tiny"}
    _write(folder / "config.json", {**config, "numDims": len(weight), "transformerDimensions": _WIDTH})
    tensors = {f"transformer.{name}": tensor for name, tensor in transformer.state_dict().items()}
    tensors["transformer.embeddings.position_ids"] = torch.arange(34)[None]  # as those that were published have it
    _save(
        {**tensors, "LinearTransformation.weight": weight, "LinearTransformation.bias": bias}, folder, pickled=pickled
    )


def _save(tensors: dict[str, Tensor], folder: Path, *, pickled: bool) -> None:
    if pickled:
        torch.save(tensors, folder / "pytorch_model.bin")
    else:
        save_file(tensors, folder / "model.safetensors")


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
