"""Text towers made of a sentence encoder and a projection, such as multilingual ones aligned to CLIP's image tower.

This module reads two layouts. sentence-transformers lists its modules in modules.json: a transformer, a pooling, then
dense layers, each in its own folder (Reimers & Gurevych, "Making Monolingual Sentence Embeddings Multilingual using
Knowledge Distillation", EMNLP 2020, describe how such a tower is aligned). M-CLIP's layout is in `mclip.py`. The text
tower of a CLIP or SigLIP checkpoint is accepted too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from image_similarity.domain.errors import ModelUnavailable
from image_similarity.encoders import hub
from image_similarity.encoders.base import TextEncoderSpec
from image_similarity.encoders.checkpoint import FAMILIES, quiet_transformers, read_config, read_json, read_weights, why
from image_similarity.encoders.clip import text as clip_text
from image_similarity.encoders.fingerprint import fingerprint
from image_similarity.encoders.text import mclip
from image_similarity.encoders.text.tokenizer import FileTokenizer, positions_of
from image_similarity.encoders.text.tower import TextTower, masked_mean

Step = Callable[[Tensor], Tensor]
"""A module after the pooling: (n, width) to (n, new width)."""

_ACTIVATIONS: dict[str, Step] = {
    "Identity": lambda x: x,
    "Tanh": torch.tanh,
    "ReLU": functional.relu,
    "GELU": functional.gelu,
}


def load(name_or_path: str, *, device: str) -> TextTower:
    """Load a text tower of any supported layout: a hub name (downloaded if need be) or a local folder.

    Raises ModelUnavailable if it is not available, incomplete, or has a module that this program does not know.
    """
    folder = hub.locate(name_or_path)
    if (folder / "modules.json").is_file():
        return _load_modules(folder, name_or_path, device)
    config = read_config(folder, name_or_path)
    if mclip.recognises(config):
        return mclip.load(folder, name_or_path, device=device)
    if config.get("model_type") in FAMILIES:
        return clip_text.load(name_or_path, device=device)
    raise ModelUnavailable(
        f'"{name_or_path}" is no text tower this program knows: it wants one of sentence-transformers (with a '
        "modules.json), of M-CLIP, or a CLIP or SigLIP checkpoint."
    )


def _load_modules(folder: Path, name: str, device: str) -> TextTower:
    kinds, paths = _read_modules(folder, name)
    if kinds[:2] != ["Transformer", "Pooling"]:
        raise ModelUnavailable(
            f'"{name}" begins with {" and ".join(kinds[:2]) or "nothing"}; a transformer and a pooling are supported.'
        )
    transformer, width = _load_transformer(paths[0], name)
    mean = _pools_by_mean(read_json(paths[1] / "config.json", name), name)
    steps: list[Step] = []
    for kind, path in zip(kinds[2:], paths[2:], strict=True):
        step, width = _read_step(kind, path, width, name, device)
        steps.append(step)
    tokenizer = _tokenizer(paths[0], transformer.config, name)
    transformer.to(device)

    def network(ids: Tensor, mask: Tensor) -> Tensor:
        hidden = transformer(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled: Tensor = masked_mean(hidden, mask) if mean else hidden[:, 0]
        for step in steps:
            pooled = step(pooled)
        return pooled

    spec = TextEncoderSpec(name, fingerprint(folder), width, tokenizer.limit)
    return TextTower(
        spec,
        tokenise=tokenizer,
        network=network,
        device=device,
    )


def _read_modules(folder: Path, name: str) -> tuple[list[str], list[Path]]:
    """Return the kinds of the modules, in order, and their folders."""
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        modules.sort(key=lambda module: int(module["idx"]))
        kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
        return kinds, [folder / str(module["path"]) for module in modules]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelUnavailable(f'The modules.json of "{name}" cannot be read: {why(error)}') from error


def _load_transformer(folder: Path, name: str) -> tuple[Any, int]:
    """Load the transformer in float32 on the CPU; also return its width."""
    from transformers import AutoModel

    try:
        with quiet_transformers():
            model, report = AutoModel.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except Exception as error:  # a damaged file surfaces as almost anything
        raise ModelUnavailable(f'The weights of "{name}" in {folder} cannot be loaded ({why(error)}).') from error
    # The pooler belongs to BERT's training task; none of the supported poolings uses it.
    if missing := sorted(key for key in report["missing_keys"] if "pooler" not in key):
        raise ModelUnavailable(f'The weights of "{name}" in {folder} lack {len(missing)} tensors: {missing[0]}, …')
    model = model.float().eval()
    return model, int(model.config.hidden_size)


def _pools_by_mean(config: dict[str, Any], name: str) -> bool:
    """Return True if the pooling is the mean of the tokens, False for the first token. Raises ModelUnavailable."""
    modes = {key.removeprefix("pooling_mode_") for key, on in config.items() if key.startswith("pooling_mode_") and on}
    if isinstance(config.get("pooling_mode"), str):
        modes = {config["pooling_mode"]}
    modes = {mode.removesuffix("_tokens").removesuffix("_token") for mode in modes}
    if len(modes) != 1 or not modes <= {"mean", "cls"}:
        raise ModelUnavailable(f'"{name}" pools by {", ".join(sorted(modes)) or "nothing"}; mean or cls is supported.')
    return modes == {"mean"}


def _read_step(kind: str, folder: Path, width: int, name: str, device: str) -> tuple[Step, int]:
    """Return the function of a module after the pooling, and the width of its output."""
    if kind == "Normalize":
        return lambda x: functional.normalize(x, dim=-1), width
    if kind != "Dense":
        raise ModelUnavailable(f'"{name}" has a module {kind}, which is not supported: Dense and Normalize are.')
    config = read_json(folder / "config.json", name)
    activation = str(config.get("activation_function", "Tanh")).rpartition(".")[2]
    if activation not in _ACTIVATIONS:
        raise ModelUnavailable(f'"{name}" has an activation {activation}; these are: {", ".join(_ACTIVATIONS)}.')
    try:
        layer = nn.Linear(int(config["in_features"]), int(config["out_features"]), bias=bool(config.get("bias", True)))
        weights = {key.removeprefix("linear."): tensor for key, tensor in read_weights(folder).items()}
        layer.load_state_dict(weights)
    except Exception as error:  # a damaged file surfaces as almost anything
        raise ModelUnavailable(f'The dense layer of "{name}" in {folder} cannot be loaded ({why(error)}).') from error
    if layer.in_features != width:
        raise ModelUnavailable(f'"{name}" has a dense layer for {layer.in_features} numbers after {width}.')
    layer = layer.float().to(device).requires_grad_(False)
    activate = _ACTIVATIONS[activation]
    return lambda x: activate(layer(x)), layer.out_features


def _tokenizer(folder: Path, config: Any, name: str) -> FileTokenizer:
    extra = folder / "sentence_bert_config.json"
    settings = read_json(extra, name) if extra.is_file() else {}
    positions = positions_of(config)
    limit = min(positions, int(settings.get("max_seq_length") or positions))
    return FileTokenizer.read(
        folder / "tokenizer.json",
        name,
        limit=limit,
        pad_id=config.pad_token_id or 0,
        lower=bool(settings.get("do_lower_case")),
    )
