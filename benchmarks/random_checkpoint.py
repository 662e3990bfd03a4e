#!/usr/bin/env python3
"""Build a CLIP or SigLIP checkpoint with seeded random weights.

Such a checkpoint behaves like the real one at every interface (files, shapes, speed) except that its
embeddings mean nothing; tests and benchmarks use it if the real weights are not available.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any, Literal, get_args

from toy_tokenizers import write_clip_tokenizer, write_siglip_tokenizer

Kind = Literal["clip", "siglip"]
Size = Literal["tiny", "full"]

TOKENIZER_FILES = (
    "merges.txt",
    "vocab.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
_CLIP_TOKENIZER = Path(__file__).resolve().parents[2] / "shared" / "clip-vit-base-patch32"


def build_checkpoint(path: Path | str, *, kind: Kind = "clip", size: Size = "tiny", seed: int = 0) -> Path:
    """Write config.json, preprocessor_config.json and model.safetensors into `path`, and return it.

    "full" is the architecture of openai/clip-vit-base-patch32 (512-d) or google/siglip-base-patch16-224
    (768-d); "tiny" has two layers, 32x32 pixels, texts of 16 tokens and 64-d embeddings. The same arguments give
    the same bytes of weights. A full CLIP gets its real tokenizer if `../shared` has it, else none; the others get a
    toy tokenizer of the right kind.
    """
    import torch

    target = Path(path)
    target.mkdir(parents=True, exist_ok=True)
    # fork_rng, so that the caller's random numbers do not change.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _build_model(kind, size)
        _spread_out(model)
    model.save_pretrained(target, safe_serialization=True)
    side = model.config.vision_config.image_size
    (target / "preprocessor_config.json").write_text(json.dumps(_preprocessor(kind, side), indent=2) + "\n")
    if size == "tiny" and kind == "clip":
        write_clip_tokenizer(target)
    elif kind == "siglip":
        write_siglip_tokenizer(target, max_tokens=model.config.text_config.max_position_embeddings)
    else:
        for name in TOKENIZER_FILES:
            if (_CLIP_TOKENIZER / name).is_file():
                shutil.copyfile(_CLIP_TOKENIZER / name, target / name)
    return target


def _build_model(kind: Kind, size: Size) -> Any:
    from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

    if size == "full":
        return CLIPModel(CLIPConfig()) if kind == "clip" else SiglipModel(SiglipConfig())
    tower = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    vision = {**tower, "image_size": 32, "patch_size": 8}
    text = {**tower, "vocab_size": 128, "max_position_embeddings": 16}
    if kind == "clip":
        text |= {"bos_token_id": 126, "eos_token_id": 127, "pad_token_id": 127}
        return CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=64))
    return SiglipModel(SiglipConfig(vision_config=vision, text_config=text))


def _spread_out(model: Any) -> None:
    """Draw every bias and norm too, which transformers initialises to constants, so that a bug in them shows."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                noise = torch.randn(parameter.shape) * 0.02
                parameter.copy_(noise if name.endswith("bias") else parameter + noise)


def _preprocessor(kind: Kind, side: int) -> dict[str, Any]:
    square = {"height": side, "width": side}
    common = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255}
    if kind == "clip":
        return common | {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": side},
            "resample": 3,
            "do_center_crop": True,
            "crop_size": square,
            "do_convert_rgb": True,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
        }
    return common | {
        "image_processor_type": "SiglipImageProcessor",
        "size": square,
        "resample": 3,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }


def main() -> None:
    """Parse the command line and build one checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("path", type=Path, help="folder to write into; made if it is not there")
    parser.add_argument("--kind", choices=get_args(Kind), default="clip")
    parser.add_argument("--size", choices=get_args(Size), default="full", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    import transformers

    logging: Any = transformers.utils.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    path = build_checkpoint(arguments.path, kind=arguments.kind, size=arguments.size, seed=arguments.seed)
    print(path)


if __name__ == "__main__":
    main()
