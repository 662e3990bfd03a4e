"""A BLIP checkpoint of the true structure with seeded random weights: it describes, but not what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = ["a", "an", "the", "cat", "dog", "bus", "red", "blue", "green", "of", "in", "on", "with", "at", "sun", "sky"]


def build_captioner(folder: Path, *, seed: int = 0) -> Path:
    """Write config, processor, tokenizer and weights into a folder, and return it."""
    import torch
    import transformers
    from transformers import BlipConfig, BlipForConditionalGeneration

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    # The package is typed in part only.
    of: Any = transformers
    tokenizer = of.BertTokenizerFast(str(folder / "vocab.txt"), bos_token="[DEC]")
    images = of.BlipImageProcessor(size={"height": 32, "width": 32})
    of.BlipProcessor(images, tokenizer).save_pretrained(folder)
    text = {
        "vocab_size": len(vocabulary),
        "hidden_size": 32,
        "encoder_hidden_size": 32,
        "intermediate_size": 64,
        "projection_dim": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "bos_token_id": vocabulary.index("[DEC]"),
        "eos_token_id": vocabulary.index("[SEP]"),
        "sep_token_id": vocabulary.index("[SEP]"),
        "pad_token_id": vocabulary.index("[PAD]"),
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "projection_dim": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision, projection_dim=16))
        for parameter in model.parameters():
            # As they are made, one word is as likely as the next.
            parameter.data = torch.randn_like(parameter) * 0.2
    model.save_pretrained(folder, safe_serialization=True)
    return folder
