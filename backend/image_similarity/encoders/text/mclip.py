"""Text towers of M-CLIP: a multilingual transformer, the mean of its tokens, and one linear layer.

Carlsson et al., "Cross-lingual and Multilingual CLIP", LREC 2022. A checkpoint names its base transformer and holds
the weights, but not the configuration of the transformer, which we derive from the shapes of the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from image_similarity.domain.errors import ModelUnavailable
from image_similarity.encoders.base import TextEncoderSpec
from image_similarity.encoders.checkpoint import quiet_transformers, read_config, read_weights, why
from image_similarity.encoders.fingerprint import fingerprint
from image_similarity.encoders.text.tokenizer import FileTokenizer, positions_of
from image_similarity.encoders.text.tower import TextTower, masked_mean

_HEAD_WIDTH = 64
"""Width of an attention head in all published BERT and XLM-RoBERTa models; no tensor's shape shows it."""
_TRANSFORMER, _LINEAR = "transformer.", "LinearTransformation."


def recognises(config: Mapping[str, Any]) -> bool:
    """Return whether a config.json is that of an M-CLIP text tower."""
    return config.get("model_type") == "M-CLIP" or "MultilingualCLIP" in (config.get("architectures") or ())


def load(folder: Path, name: str, *, device: str) -> TextTower:
    """Load the tower in a folder onto `device`, in float32. Raises ModelUnavailable if it is incomplete or damaged."""
    base = str(read_config(folder, name).get("modelBase", "xlm-roberta-large"))
    try:
        tensors = read_weights(folder)
        weight, bias = (tensors[f"{_LINEAR}{part}"].float().to(device) for part in ("weight", "bias"))
        with quiet_transformers():
            transformer = _build(tensors, base).float().eval().to(device)
    except Exception as error:  # a damaged file can raise any type
        raise ModelUnavailable(f'The text tower of "{name}" in {folder} cannot be loaded ({why(error)}).') from error
    config = transformer.config
    limit = positions_of(config)
    tokenizer = FileTokenizer.read(folder / "tokenizer.json", name, limit=limit, pad_id=config.pad_token_id)

    def network(ids: Tensor, mask: Tensor) -> Tensor:
        hidden = transformer(input_ids=ids, attention_mask=mask).last_hidden_state
        return functional.linear(masked_mean(hidden, mask), weight, bias)

    spec = TextEncoderSpec(name, fingerprint(folder), len(weight), limit)
    return TextTower(
        spec,
        tokenise=tokenizer,
        network=network,
        device=device,
    )


def _build(tensors: Mapping[str, Tensor], base: str) -> Any:
    """Return the transformer, in evaluation mode. Raises KeyError or ValueError if tensors are missing."""
    import transformers as library

    transformers: Any = library
    own = {key.removeprefix(_TRANSFORMER): value for key, value in tensors.items() if key.startswith(_TRANSFORMER)}
    own.pop("embeddings.position_ids", None)  # older versions of transformers stored the position ids too
    words = own["embeddings.word_embeddings.weight"]
    shape = {
        "vocab_size": len(words),
        "hidden_size": words.shape[1],
        "num_attention_heads": max(1, words.shape[1] // _HEAD_WIDTH),
        "num_hidden_layers": 1 + max(int(key.split(".")[2]) for key in own if key.startswith("encoder.layer.")),
        "intermediate_size": len(own["encoder.layer.0.intermediate.dense.weight"]),
        "max_position_embeddings": len(own["embeddings.position_embeddings.weight"]),
        "type_vocab_size": len(own["embeddings.token_type_embeddings.weight"]),
    }
    if "roberta" in base.lower():
        kind = transformers.XLMRobertaModel
        config = transformers.XLMRobertaConfig(
            **shape, layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0, eos_token_id=2
        )
    else:  # BERT, as LaBSE is
        kind = transformers.BertModel
        config = transformers.BertConfig(**shape, layer_norm_eps=1e-12, pad_token_id=0)
    with torch.device("cpu"):
        model, report = kind.from_pretrained(None, config=config, state_dict=own, output_loading_info=True)
    if missing := sorted(key for key in report["missing_keys"] if "pooler" not in key):
        raise ValueError(f"it lacks {len(missing)} tensors, {missing[0]} for one")
    return model
