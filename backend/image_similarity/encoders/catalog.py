"""Descriptions of the supported models."""

from __future__ import annotations

from image_similarity.encoders.base import ModelSpec
from image_similarity.encoders.mini.image import MINI

DEFAULT_MODEL = "openai/clip-vit-base-patch32"

_BOTH = frozenset({"image", "text"})

# Sizes are those of the files that `hub.locate` downloads: the whole checkpoint with its text tower, its
# configuration and its tokenizer.
CLIP_AND_SIGLIP: tuple[ModelSpec, ...] = (
    ModelSpec(
        name=DEFAULT_MODEL,
        dimension=512,
        input_size=224,
        towers=_BOTH,
        licence="MIT",
        download_mb=609,
        description="CLIP ViT-B/32: the default; the fastest of them, good at most things.",
    ),
    ModelSpec(
        name="openai/clip-vit-base-patch16",
        dimension=512,
        input_size=224,
        towers=_BOTH,
        licence="MIT",
        download_mb=602,
        description="CLIP ViT-B/16: sees finer detail than ViT-B/32 for about four times its arithmetic.",
    ),
    ModelSpec(
        name="openai/clip-vit-large-patch14",
        dimension=768,
        input_size=224,
        towers=_BOTH,
        licence="MIT",
        download_mb=1714,
        description="CLIP ViT-L/14: the best of OpenAI's at this resolution; wants a GPU.",
    ),
    ModelSpec(
        name="google/siglip-base-patch16-224",
        dimension=768,
        input_size=224,
        towers=_BOTH,
        licence="Apache-2.0",
        download_mb=816,
        description="SigLIP B/16: better retrieval than CLIP ViT-B/16 at the same arithmetic.",
    ),
    ModelSpec(
        name="google/siglip2-base-patch16-224",
        dimension=768,
        input_size=224,
        towers=_BOTH,
        licence="Apache-2.0",
        download_mb=1539,
        description="SigLIP 2 B/16: the newest; its text side, most of the download, knows many languages.",
    ),
)


def supported_models() -> tuple[ModelSpec, ...]:
    """Return all models that we know by name, the default first."""
    return (*CLIP_AND_SIGLIP, MINI)


def describe(name: str) -> ModelSpec | None:
    """Return the model of that name; None if it is not listed, although it may still work."""
    return next((spec for spec in supported_models() if spec.name == name), None)
