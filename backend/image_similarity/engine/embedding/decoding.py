"""How the settings have images decoded."""

from __future__ import annotations

from image_similarity.images.decoders import Decoders
from image_similarity.images.recipe import Preprocess
from image_similarity.settings import Settings
from image_similarity.telemetry.metrics import Metrics


def open_decoders(settings: Settings, metrics: Metrics, *preprocess: Preprocess) -> Decoders:
    """Return what decodes images and applies any of `preprocess`. Raises InvalidRequest for processes without Linux."""
    return Decoders(
        preprocess,
        metrics,
        isolation=settings.decode_isolation,
        count=settings.decode_threads,
        timeout=settings.decode_timeout,
        memory=settings.decode_max_bytes,
    )
