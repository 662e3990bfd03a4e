"""The engine's figures: its model, its collection, and recommendations."""

from __future__ import annotations

from dataclasses import dataclass, field

from image_similarity.cache.base import TierStats
from image_similarity.encoders.base import ModelSpec
from image_similarity.engine.embedding.texts import TextModelState
from image_similarity.engine.search.calibration import Calibrations
from image_similarity.vectors.base import CollectionInfo


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The loaded model, and the reason if it is not the requested one."""

    spec: ModelSpec
    device: str
    precision: str
    fallback_reason: str | None = None
    calibrations: Calibrations = field(default_factory=dict)
    """Score calibrations; empty if the model was not calibrated."""
    duplicate_similarity: float = 0.95
    """Cosine from which on two images count as the same picture."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """The figures of all parts."""

    model: ModelInfo
    text_model: TextModelState | None
    """None if the model reads no texts."""
    collection: CollectionInfo
    queue_depth: int
    cache: list[TierStats]
    recommendations: list[str]
