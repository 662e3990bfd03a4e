"""What the engine says of itself: its model, its collection, and what to do about them."""

from __future__ import annotations

from dataclasses import dataclass, field

from image_similarity.cache.base import TierStats
from image_similarity.encoders.base import ModelSpec
from image_similarity.engine.embedding.texts import TextModelState
from image_similarity.engine.search.calibration import Calibrations
from image_similarity.vectors.base import CollectionInfo


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model that is loaded, and why, where it is not the one that was asked for."""

    spec: ModelSpec
    device: str
    precision: str
    fallback_reason: str | None = None
    calibrations: Calibrations = field(default_factory=dict)
    """What makes probabilities of its scores; empty where nobody has measured them."""
    duplicate_similarity: float = 0.95
    """Cosine from which on two images count as the same picture."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """The state of the parts in numbers."""

    model: ModelInfo
    text_model: TextModelState | None
    """None where the model reads no texts."""
    collection: CollectionInfo
    queue_depth: int
    cache: list[TierStats]
    recommendations: list[str]
