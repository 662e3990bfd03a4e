"""Settings in, a running engine out: the one place that chooses parts."""

from __future__ import annotations

import asyncio

from image_similarity.bootstrap.caches import open_cache
from image_similarity.bootstrap.models import load_calibrations, load_model, log_stand_in
from image_similarity.bootstrap.stores import StoreKind, find_collection, lock_collection, open_collection, store_kind
from image_similarity.buckets import check_bucket
from image_similarity.disk import DATA, IMAGES, DiskSpace
from image_similarity.domain.errors import InvalidRequest
from image_similarity.embedder import ImageEmbedder
from image_similarity.encoders.batching import batch_images
from image_similarity.engine import RunningModel, SearchEngine
from image_similarity.feedback.log import FeedbackLog
from image_similarity.images.decoders import Decoders
from image_similarity.images.fetch import UrlFetcher
from image_similarity.images.recipe import Preprocess
from image_similarity.jobs.base import ChunkQueue
from image_similarity.jobs.chunks import ChunkProcessor
from image_similarity.jobs.inline import InlineQueue
from image_similarity.jobs.ledger import JobLedger
from image_similarity.jobs.service import BulkJobs
from image_similarity.objects import Objects, local_folder
from image_similarity.repeats import Repeats
from image_similarity.settings import Settings
from image_similarity.storage import ImageStorage
from image_similarity.tagging.base import NoTagger, Tagger
from image_similarity.tagging.filling import Filler
from image_similarity.telemetry.metrics import Metrics
from image_similarity.telemetry.tracing import Tracing
from image_similarity.texts import TextEmbedder
from image_similarity.trash import Trash
from image_similarity.unsettled import Notes, Settler
from image_similarity.vectors.base import CollectionInfo
from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.folder_lock import FolderLock
from image_similarity.writes import Writes


async def build_engine(settings: Settings, lock: FolderLock | None = None) -> SearchEngine:
    """Load the model, open the store, and put the engine together.

    The folder of an embedded collection is locked before anything else, or was by the caller, whose `lock` is the
    engine's from now on. Raises what `load_model` does, FolderInUse and StoreUnavailable; what was opened by then is
    closed.
    """
    # First, because a model takes seconds to load.
    await check_bucket(settings.storage_url)
    kind, metrics, name = store_kind(settings), Metrics(), settings.qdrant_collection_name
    records = _records(settings, metrics)
    notes = Notes(records, metrics, collection=name)
    lock = lock or await lock_collection(settings)
    try:
        found = await find_collection(settings, kind, lock)
        model = await asyncio.to_thread(load_model, settings, found)
        encoder = model.image
        calibrations = load_calibrations(model, settings)
        vectors = await open_collection(
            settings,
            kind,
            CollectionMeta(encoder.spec.name, encoder.spec.dimension),
            notes,
            lock=lock,
            on_flush_failure=metrics.flush_failures.inc,
        )
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    try:
        storage = ImageStorage.open(
            settings.storage_url,
            default=settings.data_dir / "images",
            store_originals=settings.store_originals,
            durable=settings.durability == "power",
            on_damage=metrics.images_damaged.inc,
        )
        trash = Trash(
            records,
            storage,
            vectors,
            collection=name,
            model=encoder.spec.name,
            alone=kind is StoreKind.EMBEDDED,
        )
        feedback = open_feedback(settings, encoder.spec.name)
        cache = await open_cache(settings, metrics)
    except BaseException:
        await vectors.close()
        raise
    duplicate_similarity = settings.duplicate_similarity or encoder.spec.duplicate_similarity
    batching = batch_images(encoder, batch_size=settings.batch_size, max_queue=settings.max_queue, metrics=metrics)
    filler = Filler(make_tagger(settings), metrics, max_queue=settings.max_queue)
    decoders = open_decoders(settings, metrics, encoder.preprocess, filler.preprocess)
    return SearchEngine(
        model=RunningModel(
            model.spec,
            encoder.device,
            encoder.precision,
            model.fallback_reason,
            calibrations,
            duplicate_similarity,
        ),
        embedder=ImageEmbedder(encoder, batching, cache, decoders, max_pixels=settings.max_pixels),
        texts=TextEmbedder(
            model.text,
            cache,
            metrics,
            batch_size=settings.batch_size,
            max_queue=settings.max_queue,
            template=settings.prompt_template,
        ),
        urls=_url_fetcher(settings, kind),
        feedback=feedback,
        filler=filler,
        vectors=vectors,
        storage=storage,
        writes=Writes(
            vectors,
            storage,
            cache,
            trash,
            metrics,
            Repeats(records, collection=name),
            Settler(notes, vectors, cache, trash, metrics) if kind is StoreKind.SERVER else None,
        ),
        cache=cache,
        metrics=metrics,
        disk=_disk_space(settings, kind, metrics),
        own_store=kind is StoreKind.EMBEDDED,
        # Redis keeps answers while a deployment is given other settings, or other weights under the same names;
        # replicas of both then answer side by side.
        answer_settings=repr(
            (
                encoder.fingerprint,
                model.text.name,
                model.text.fingerprint,
                settings.prompt_template,
                settings.keyword_language,
                duplicate_similarity,
            )
        ),
    )


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


def _disk_space(settings: Settings, kind: StoreKind, metrics: Metrics) -> DiskSpace:
    data = settings.data_dir if kind is StoreKind.EMBEDDED or settings.storage_url is None else None
    folders = {DATA: data, IMAGES: local_folder(settings.storage_url)}
    return DiskSpace(folders, min_free=settings.min_free_bytes, metrics=metrics)


def _url_fetcher(settings: Settings, kind: StoreKind) -> UrlFetcher:
    # A server of one person asks the network on that person's behalf; one of many stands in a network of its own.
    allowed = settings.allow_url_fetch
    return UrlFetcher(
        enabled=kind is StoreKind.EMBEDDED if allowed == "auto" else allowed,
        max_bytes=settings.max_body_bytes,
        timeout=settings.url_fetch_timeout,
        allow=settings.url_fetch_allow,
    )


async def check_feedback(settings: Settings) -> None:
    """Raise StoreUnavailable, with what is to be changed, where the record of feedback cannot be read."""
    await check_bucket(_records_url(settings))


def open_feedback(settings: Settings, model: str) -> FeedbackLog:
    """Open the record of what users think of results; `model` is noted with what is added. Raises StoreUnavailable."""
    return FeedbackLog(
        _records(settings),
        collection=settings.qdrant_collection_name,
        model=model,
        retention=settings.feedback_retention,
    )


def _records(settings: Settings, metrics: Metrics | None = None) -> Objects:
    return _objects(_records_url(settings), settings, metrics)


def _objects(url: str | None, settings: Settings, metrics: Metrics | None) -> Objects:
    durable = settings.durability == "power"
    if metrics is None:
        return Objects.open(url, default=settings.data_dir, durable=durable)
    return Objects.open(url, default=settings.data_dir, durable=durable, on_damage=metrics.documents_damaged.inc)


def _records_url(settings: Settings) -> str | None:
    # Beside an embedded collection, for a bucket may be shared with others of its name.
    return None if store_kind(settings) is StoreKind.EMBEDDED else settings.storage_url


def build_jobs(settings: Settings, engine: SearchEngine) -> BulkJobs:
    """Put bulk indexing together, around the engine or around the broker; it is not started yet.

    Raises StoreUnavailable.
    """
    ledger = open_ledger(settings, engine.metrics)
    queue: ChunkQueue
    if settings.broker_url is None:
        queue = InlineQueue(chunk_processor(settings, engine, ledger), ledger)
    else:
        # Celery takes half a second to import, which is spared where there is no broker.
        from image_similarity.jobs.broker import BrokerQueue

        queue = BrokerQueue(settings.broker_url.get_secret_value(), ledger)
    return BulkJobs(
        ledger,
        queue,
        engine.disk,
        chunk_size=settings.batch_size,
        max_images=settings.max_batch_images,
        retention=settings.job_retention,
    )


def open_ledger(settings: Settings, metrics: Metrics) -> JobLedger:
    """Open the record of bulk jobs, which lies beside the images. Raises StoreUnavailable."""
    objects = _objects(settings.storage_url, settings, metrics)
    return JobLedger(objects, max_image_bytes=settings.max_body_bytes)


def chunk_processor(settings: Settings, engine: SearchEngine, ledger: JobLedger) -> ChunkProcessor:
    """Return what works on chunks; it takes at most half of the places before the model."""
    return ChunkProcessor(engine, ledger, at_once=max(1, min(2 * settings.batch_size, settings.max_queue // 2)))


def check_settings(settings: Settings) -> None:
    """Raise InvalidRequest for a broker whose workers could not open the collection."""
    if settings.broker_url is not None and store_kind(settings) is StoreKind.EMBEDDED:
        raise InvalidRequest(
            "BROKER_URL is set, but the collection is embedded, which only one process can open. Set QDRANT_HOST or "
            "QDRANT_URL to a Qdrant server that servers and workers share, or unset BROKER_URL: the server then "
            "works on bulk jobs itself."
        )


def open_tracing(settings: Settings, part: str) -> Tracing | None:
    """Return what traces this process (its part is the end of its name there), or None where nobody asks for it.

    Raises InvalidRequest where the extra is not installed.
    """
    if settings.otel_exporter_otlp_endpoint is None:
        return None
    try:
        return Tracing.to(settings.otel_exporter_otlp_endpoint, f"image-similarity-{part}")
    except ImportError as error:
        raise InvalidRequest(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed: "
            "pip install 'image-similarity[tracing]', or unset it."
        ) from error


async def initialize(settings: Settings) -> CollectionInfo:
    """Make the collection for the model, unless it is there; one of an earlier version is brought up to date.

    Raises as `build_engine` does.
    """
    engine = await build_engine(settings)
    try:
        log_stand_in(settings, engine.model.fallback_reason)
        await engine.bring_up_to_date()
        return (await engine.stats()).collection
    finally:
        await engine.close()


def make_tagger(settings: Settings) -> Tagger:
    """Return what fills descriptions and tags that callers leave out; its weights are read later."""
    match settings.tagger:
        case "imagenet":
            from image_similarity.tagging.imagenet import ImagenetTagger

            return ImagenetTagger(threshold=settings.tagger_threshold, device=settings.device)
        case "caption":
            from image_similarity.tagging.caption import CaptionTagger

            return CaptionTagger(settings.caption_model_name, device=settings.device, precision=settings.precision)
        case _:
            return NoTagger()
