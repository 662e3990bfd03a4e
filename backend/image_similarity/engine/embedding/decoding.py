"""Create the image decoders that the settings choose."""

from __future__ import annotations

from image_similarity.images.decoders import Decoders
from image_similarity.images.recipe import Preprocess
from image_similarity.settings import Settings
from image_similarity.telemetry.metrics import Metrics


def open_decoders(settings: Settings, metrics: Metrics, *preprocess: Preprocess) -> Decoders:
    """Return decoders that can apply any of `preprocess`. Raises InvalidRequest for processes on other than Linux."""
    return Decoders(
        preprocess,
        metrics,
        isolation=settings.decode_isolation,
        count=settings.decode_threads,
        timeout=settings.decode_timeout,
        memory=settings.decode_max_bytes,
    )
