"""Build bulk indexing: in this process, or with a broker."""

from __future__ import annotations

from image_similarity.bootstrap.deployment import Deployment
from image_similarity.bootstrap.records import open_objects
from image_similarity.domain.errors import InvalidRequest
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.jobs.base import ChunkQueue
from image_similarity.jobs.chunks import ChunkProcessor
from image_similarity.jobs.inline import InlineQueue
from image_similarity.jobs.ledger import JobLedger
from image_similarity.jobs.service import JobService
from image_similarity.settings import Settings
from image_similarity.telemetry.metrics import Metrics


def build_jobs(settings: Settings, engine: SearchEngine) -> JobService:
    """Return the service for bulk indexing, with the engine or with the broker; it is not started yet.

    Raises StoreUnavailable.
    """
    ledger = open_ledger(settings, engine.metrics)
    queue: ChunkQueue
    if settings.broker_url is None:
        queue = InlineQueue(chunk_processor(settings, engine, ledger), ledger)
    else:
        # Celery takes half a second to import, so it is only imported if there is a broker.
        from image_similarity.jobs.rabbitmq import BrokerQueue

        queue = BrokerQueue(settings.broker_url.get_secret_value(), ledger)
    return JobService(
        ledger,
        queue,
        engine.disk,
        chunk_size=settings.batch_size,
        max_images=settings.max_batch_images,
        retention=settings.job_retention,
    )


def open_ledger(settings: Settings, metrics: Metrics) -> JobLedger:
    """Open the ledger of bulk jobs, which is stored beside the images. Raises StoreUnavailable."""
    objects = open_objects(settings.storage_url, settings, metrics)
    return JobLedger(objects, max_image_bytes=settings.max_body_bytes)


def chunk_processor(settings: Settings, engine: SearchEngine, ledger: JobLedger) -> ChunkProcessor:
    """Return the processor of chunks; it takes at most half of the places in the model's queue."""
    return ChunkProcessor(engine, ledger, at_once=max(1, min(2 * settings.batch_size, settings.max_queue // 2)))


def check_settings(settings: Settings) -> None:
    """Raise InvalidRequest if there is a broker but its workers cannot open the collection."""
    if settings.broker_url is not None and not Deployment.of(settings).may_have_broker:
        raise InvalidRequest(
            "BROKER_URL is set, but the collection is embedded, which only one process can open. Set QDRANT_HOST or "
            "QDRANT_URL to a Qdrant server that servers and workers share, or unset BROKER_URL: the server then "
            "works on bulk jobs itself."
        )
