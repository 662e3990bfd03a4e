"""Open the stores of small documents: trash, notes, feedback."""

from __future__ import annotations

from image_similarity.bootstrap.deployment import Deployment
from image_similarity.engine.feedback.log import FeedbackLog
from image_similarity.settings import Settings
from image_similarity.storage.buckets import check_bucket
from image_similarity.storage.objects import Objects
from image_similarity.telemetry.metrics import Metrics


async def check_feedback(settings: Settings) -> None:
    """Raise StoreUnavailable, with the change to make, if the log of feedback cannot be read."""
    await check_bucket(Deployment.of(settings).records_url)


def open_feedback(settings: Settings, model: str) -> FeedbackLog:
    """Open the log of users' verdicts; new ones are stored with the name of the `model`. Raises StoreUnavailable."""
    return FeedbackLog(
        open_records(settings),
        collection=settings.qdrant_collection_name,
        model=model,
        retention=settings.feedback_retention,
    )


def open_records(settings: Settings, metrics: Metrics | None = None) -> Objects:
    """Open the store of the collection's documents. Raises StoreUnavailable."""
    return open_objects(Deployment.of(settings).records_url, settings, metrics)


def open_objects(url: str | None, settings: Settings, metrics: Metrics | None) -> Objects:
    """Open the store at `url`, by default the data folder. Raises StoreUnavailable."""
    durable = settings.durability == "power"
    if metrics is None:
        return Objects.open(url, default=settings.data_dir, durable=durable)
    return Objects.open(url, default=settings.data_dir, durable=durable, on_damage=metrics.documents_damaged.inc)
