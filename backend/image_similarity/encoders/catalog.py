"""The families of models, and the models that we know by name."""

from __future__ import annotations

from image_similarity.encoders.base import ModelSpec
from image_similarity.encoders.clip.family import CLIP_AND_SIGLIP
from image_similarity.encoders.family import ModelFamily
from image_similarity.encoders.mini.family import OFFLINE

FAMILIES = (CLIP_AND_SIGLIP, OFFLINE)
"""The first one also loads models that no family lists, because those are checkpoints."""


def supported_models() -> tuple[ModelSpec, ...]:
    """Return all models that we know by name, the default first."""
    return tuple(spec for family in FAMILIES for spec in family.models)


def describe(name: str) -> ModelSpec | None:
    """Return the model of that name; None if it is not listed, although it may still work."""
    return next((spec for spec in supported_models() if spec.name == name), None)


def family_of(name: str) -> ModelFamily:
    """Return the family that loads a model, which need not be listed."""
    return next((family for family in FAMILIES if any(spec.name == name for spec in family.models)), FAMILIES[0])
