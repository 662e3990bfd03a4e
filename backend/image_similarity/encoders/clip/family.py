"""CLIP and SigLIP: checkpoints of the hub, or in a folder."""

from __future__ import annotations

from image_similarity.encoders import hub
from image_similarity.encoders.base import ImageEncoder, ModelSpec, TextEncoderSpec
from image_similarity.encoders.family import ModelFamily
from image_similarity.encoders.text.lazy import LazyTextEncoder

DEFAULT_MODEL = "openai/clip-vit-base-patch32"

_BOTH = frozenset({"image", "text"})

# Sizes are those of the files that `hub.locate` downloads: the whole checkpoint with its text tower, its
# configuration and its tokenizer.
_MODELS = (
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


# torch and transformers take seconds to import, so a program that only lists models must not import them.
def _load(name: str, *, device: str, precision: str) -> ImageEncoder:
    from image_similarity.encoders.clip.image import ClipEncoder

    return ClipEncoder.load(name, device=device, precision=precision)


def _text_tower(encoder: ImageEncoder) -> LazyTextEncoder:
    from image_similarity.encoders.clip import text

    spec = encoder.spec
    # One checkpoint holds both towers, so they have one fingerprint.
    max_tokens = text.max_tokens(hub.locate(spec.name), spec.name)
    described = TextEncoderSpec(spec.name, encoder.fingerprint, spec.dimension, max_tokens)
    return LazyTextEncoder(described, lambda: text.load(spec.name, device=encoder.device))


CLIP_AND_SIGLIP = ModelFamily(_MODELS, _load, _text_tower)
