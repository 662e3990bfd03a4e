"""The offline model, whose weights come in Python packages."""

from __future__ import annotations

from image_similarity.encoders.base import ImageEncoder, TextEncoderSpec
from image_similarity.encoders.family import ModelFamily
from image_similarity.encoders.mini import text
from image_similarity.encoders.mini.image import CALIBRATION, MINI, MiniEncoder
from image_similarity.encoders.text.lazy import LazyTextEncoder


def _load(name: str, *, device: str, precision: str) -> ImageEncoder:
    del name
    return MiniEncoder.load(device=device, precision=precision)


def _text_tower(encoder: ImageEncoder) -> LazyTextEncoder:
    described = TextEncoderSpec(MINI.name, text.fingerprint(), MINI.dimension, text.MAX_TOKENS)
    return LazyTextEncoder(described, lambda: text.load(device=encoder.device))


OFFLINE = ModelFamily((MINI,), _load, _text_tower, CALIBRATION)
