"""The text towers of CLIP and SigLIP checkpoints, through transformers and the checkpoint's own tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from image_similarity.domain.errors import ModelUnavailable
from image_similarity.encoders import hub
from image_similarity.encoders.base import TextEncoderSpec
from image_similarity.encoders.checkpoint import FAMILIES, load_tower, quiet_transformers, read_config, why
from image_similarity.encoders.fingerprint import fingerprint
from image_similarity.encoders.text.tower import TextTower, Tokens

_MAX_TOKENS = {"clip": 77, "siglip": 64}
"""Defaults of transformers if a configuration lacks the value."""
_TOKENIZERS = {
    "clip": (("tokenizer.json",), ("vocab.json", "merges.txt")),
    "siglip": (("tokenizer.json",), ("spiece.model",), ("tokenizer.model",)),
}
"""Family -> sets of files; any one of the sets makes a tokenizer."""


def lacks(checkpoint: Path, name: str) -> str | None:
    """Return a sentence that says why a checkpoint has no text tower, by its small files; None if it seems to have one.

    Raises ModelUnavailable if its config.json cannot be read.
    """
    model_type = str(read_config(checkpoint, name).get("model_type"))
    if model_type not in FAMILIES:
        return f'"{name}" is a model of type "{model_type}", not a CLIP or SigLIP checkpoint.'
    if model_type not in _TOKENIZERS:
        return f'"{name}" is an image tower alone; text search needs the whole checkpoint.'
    wanted = _TOKENIZERS[model_type]
    if not any(all((checkpoint / file).is_file() for file in files) for files in wanted):
        files = " or ".join(" with ".join(files) for files in wanted)
        return f'"{name}" in {checkpoint} lacks its tokenizer ({files}), which text search needs.'
    return None


def max_tokens(checkpoint: Path, name: str) -> int:
    """Return the maximum number of tokens per text. Raises ModelUnavailable for an unreadable config.json."""
    config = read_config(checkpoint, name)
    family = FAMILIES.get(str(config.get("model_type")), "clip")
    text_config = config.get("text_config") or {}
    return int(text_config.get("max_position_embeddings", _MAX_TOKENS[family]))


def load(name_or_path: str, *, device: str) -> TextTower:
    """Load a checkpoint's text tower and tokenizer onto `device`, in float32.

    Raises ModelUnavailable, whose message names what is missing.
    """
    checkpoint = hub.locate(name_or_path)
    if reason := lacks(checkpoint, name_or_path):
        raise ModelUnavailable(reason)
    model_type = str(read_config(checkpoint, name_or_path)["model_type"])
    family = FAMILIES[model_type]
    with quiet_transformers():
        model = load_tower(checkpoint, model_type, "text", name_or_path).to(device)
        tokenizer = _load_tokenizer(checkpoint, name_or_path)
    limit = max_tokens(checkpoint, name_or_path)
    config = model.config
    dimension = config.projection_dim if family == "clip" else getattr(config, "projection_size", config.hidden_size)
    return TextTower(
        TextEncoderSpec(name_or_path, fingerprint(checkpoint), dimension, limit),
        tokenise=_Tokenizer(tokenizer, limit, family),
        network=_Network(model, family),
        device=device,
    )


class _Network:
    """Maps ids to text features, as `get_text_features` of the whole model does."""

    def __init__(self, model: Any, family: str) -> None:
        self._model = model
        self._masked = family == "clip"

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        # SigLIP was trained on texts padded to full length, without masking the padding.
        output = self._model(input_ids=ids, attention_mask=mask if self._masked else None)
        features: Tensor = output.text_embeds if self._masked else output.pooler_output
        return features


class _Tokenizer:
    """A checkpoint's own tokenizer; cuts texts at `limit` tokens and reports which ones."""

    def __init__(self, tokenizer: Any, limit: int, family: str) -> None:
        self._tokenizer = tokenizer
        self._limit = limit
        # Both generations of SigLIP were trained on lower case, but not all of their tokenizers convert to it.
        self._lower = family == "siglip"
        self._padding: bool | str = "max_length" if family == "siglip" else True

    def __call__(self, texts: Sequence[str]) -> Tokens:
        texts = [text.lower() for text in texts] if self._lower else list(texts)
        whole = self._tokenizer(texts, verbose=False)["input_ids"]
        cut = self._tokenizer(
            texts, truncation=True, max_length=self._limit, padding=self._padding, return_tensors="pt"
        )
        ids: Tensor = cut["input_ids"]
        mask = cut["attention_mask"] if "attention_mask" in cut else torch.ones_like(ids)
        return Tokens(ids, mask, [len(tokens) > self._limit for tokens in whole])


def _load_tokenizer(checkpoint: Path, name: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    except Exception as error:  # a damaged file can raise any type
        raise ModelUnavailable(f'The tokenizer of "{name}" in {checkpoint} cannot be loaded ({why(error)}).') from error
