"""A family of models: what it consists of, and how its towers are loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from image_similarity.encoders.base import ImageEncoder, ModelSpec
from image_similarity.encoders.text.lazy import LazyTextEncoder


class LoadImageTower(Protocol):
    """Loads the image tower of a model."""

    def __call__(self, name: str, *, device: str, precision: str) -> ImageEncoder:
        """Return the tower; `device` and `precision` are as of the settings. Raises ModelUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """Models that one module loads; `catalog.py` lists the families."""

    models: tuple[ModelSpec, ...]
    load: LoadImageTower
    text_tower: Callable[[ImageEncoder], LazyTextEncoder]
    """Returns the model's own text tower, not loaded yet. Raises ModelUnavailable."""
    calibration: Path | None = None
    """Score calibrations that the family comes with."""
