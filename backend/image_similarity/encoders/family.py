"""Families of models: their parts, and the loaders of their towers."""

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
        """Return the tower; `device` and `precision` are as in the settings. Raises ModelUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """Models that one package loads; `catalog.py` lists the families."""

    models: tuple[ModelSpec, ...]
    load: LoadImageTower
    text_tower: Callable[[ImageEncoder], LazyTextEncoder]
    """Returns the model's own text tower, which is loaded on first use. Raises ModelUnavailable."""
    calibration: Path | None = None
    """File with the score calibrations of the family; None if it has none."""
