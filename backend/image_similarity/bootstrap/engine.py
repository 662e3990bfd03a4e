"""Build a running engine from the settings; the only module that chooses its parts."""

from __future__ import annotations

import asyncio

from image_similarity.bootstrap.caches import open_cache
from image_similarity.bootstrap.deployment import Deployment
from image_similarity.bootstrap.models import load_calibrations, load_model, log_stand_in
from image_similarity.bootstrap.records import open_feedback, open_records
from image_similarity.bootstrap.stores import (
    embedded_collections,
    find_collection,
    lock_collection,
    open_collection,
)
from image_similarity.domain.errors import InvalidRequest
from image_similarity.engine.collection.idempotency import Repeats
from image_similarity.engine.collection.tagging import MetadataTagger
from image_similarity.engine.collection.trash import Trash
from image_similarity.engine.collection.unsettled import Notes, Settler
from image_similarity.engine.collection.writer import CollectionWriter
from image_similarity.engine.embedding.batching import batch_images
from image_similarity.engine.embedding.decoding import open_decoders
from image_similarity.engine.embedding.images import ImageEmbedder
from image_similarity.engine.embedding.texts import TextEmbedder
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.engine.stats import ModelInfo
from image_similarity.filesystem.free_space import DATA, IMAGES, DiskSpace
from image_similarity.images.fetch import UrlFetcher
from image_similarity.settings import Settings
from image_similarity.storage.buckets import check_bucket
from image_similarity.storage.images import ImageStorage
from image_similarity.storage.objects import local_folder
from image_similarity.tagging.base import NoTagger, Tagger
from image_similarity.telemetry.metrics import Metrics
from image_similarity.telemetry.tracing import Tracing
from image_similarity.vectors.base import CollectionInfo
from image_similarity.vectors.collection import CollectionMeta
from image_similarity.vectors.qdrant_edge.folder_lock import FolderLock


async def build_engine(settings: Settings, lock: FolderLock | None = None) -> SearchEngine:
    """Load the model, open the store, and build the engine.

    The folder of an embedded collection is locked first. If the caller has locked it already, the engine takes over
    its `lock`. Raises the errors of `load_model`, FolderInUse and StoreUnavailable; then all opened parts are closed.
    """
    # First, because a model takes seconds to load.
    await check_bucket(settings.storage_url)
    deployment, metrics, name = Deployment.of(settings), Metrics(), settings.qdrant_collection_name
    records = open_records(settings, metrics)
    notes = Notes(records, metrics, collection=name)
    lock = lock or await lock_collection(settings)
    try:
        found = await find_collection(settings, deployment.store, lock)
        model = await asyncio.to_thread(load_model, settings, found)
        encoder = model.image
        calibrations = load_calibrations(model, settings)
        vectors = await open_collection(
            settings,
            deployment.store,
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
            alone=not deployment.shared,
            neighbours=await asyncio.to_thread(embedded_collections, settings),
        )
        feedback = open_feedback(settings, encoder.spec.name)
        cache = await open_cache(settings, metrics)
    except BaseException:
        await vectors.close()
        raise
    duplicate_similarity = settings.duplicate_similarity or encoder.spec.duplicate_similarity
    batching = batch_images(encoder, batch_size=settings.batch_size, max_queue=settings.max_queue, metrics=metrics)
    filler = MetadataTagger(make_tagger(settings), metrics, max_queue=settings.max_queue)
    decoders = open_decoders(settings, metrics, encoder.preprocess, filler.preprocess)
    return SearchEngine(
        model=ModelInfo(
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
        urls=_url_fetcher(settings, deployment),
        feedback=feedback,
        filler=filler,
        vectors=vectors,
        storage=storage,
        writes=CollectionWriter(
            vectors,
            storage,
            cache,
            trash,
            metrics,
            Repeats(records, collection=name),
            Settler(notes, vectors, cache, trash, metrics) if deployment.shared else None,
        ),
        cache=cache,
        metrics=metrics,
        disk=_disk_space(settings, deployment, metrics),
        own_store=not deployment.shared,
        # Part of the cache key: during a deployment with other settings, or other weights under the same names, old
        # and new replicas share the answers in Redis.
        answer_settings=repr(
            (
                encoder.fingerprint,
                model.text.spec.name,
                model.text.spec.fingerprint,
                settings.prompt_template,
                settings.keyword_language,
                duplicate_similarity,
            )
        ),
    )


def _disk_space(settings: Settings, deployment: Deployment, metrics: Metrics) -> DiskSpace:
    data = settings.data_dir if not deployment.shared or settings.storage_url is None else None
    folders = {DATA: data, IMAGES: local_folder(settings.storage_url)}
    return DiskSpace(folders, min_free=settings.min_free_bytes, metrics=metrics)


def _url_fetcher(settings: Settings, deployment: Deployment) -> UrlFetcher:
    return UrlFetcher(
        enabled=deployment.fetches_urls,
        max_bytes=settings.max_body_bytes,
        timeout=settings.url_fetch_timeout,
        allow=settings.url_fetch_allow,
    )


def open_tracing(settings: Settings, part: str) -> Tracing | None:
    """Return the tracing of this process, under the name `image-similarity-{part}`; None if it is not configured.

    Raises InvalidRequest if the extra is not installed.
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
    """Create the collection for the model if there is none; update one of an earlier version.

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
    """Return the tagger, which fills in descriptions and tags that callers leave out; its weights are loaded later."""
    match settings.tagger:
        case "imagenet":
            from image_similarity.tagging.imagenet import ImagenetTagger

            return ImagenetTagger(threshold=settings.tagger_threshold, device=settings.device)
        case "caption":
            from image_similarity.tagging.caption import CaptionTagger

            return CaptionTagger(settings.caption_model_name, device=settings.device, precision=settings.precision)
        case _:
            return NoTagger()
