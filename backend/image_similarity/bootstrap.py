"""Settings in, a running engine out: the one place that chooses parts."""

from __future__ import annotations

import asyncio
from pathlib import Path

from image_similarity.cache.local import LocalCache
from image_similarity.domain import InvalidRequest, ModelMismatch, ModelUnavailable
from image_similarity.embedder import ImageEmbedder, Limits
from image_similarity.encoders import hub
from image_similarity.encoders.base import Encoder
from image_similarity.encoders.batching import BatchingEncoder
from image_similarity.encoders.mini import MINI
from image_similarity.engine import RunningModel, SearchEngine
from image_similarity.settings import Settings
from image_similarity.storage import ImageStorage
from image_similarity.telemetry.logging import get_logger
from image_similarity.telemetry.metrics import Metrics
from image_similarity.vectors.base import CollectionInfo
from image_similarity.vectors.embedded import CollectionMeta, EmbeddedStore, Found, peek


async def build_engine(settings: Settings) -> SearchEngine:
    """Load the model, open the store, and put the engine together.

    Raises ModelUnavailable, ModelMismatch, StoreLocked and StoreUnavailable; what was opened by then is closed.
    """
    found = await asyncio.to_thread(peek, collection_folder(settings))
    encoder, fallback_reason = await asyncio.to_thread(_load_model, settings, found)
    vectors = await asyncio.to_thread(open_collection, settings, encoder)
    metrics = Metrics()
    cache = LocalCache(
        max_entries=settings.cache_max_entries,
        max_bytes=settings.cache_max_bytes,
        ttl=settings.cache_ttl,
        metrics=metrics,
    )
    try:
        storage = ImageStorage.open(
            settings.storage_url,
            default=settings.data_dir / "images",
            store_originals=settings.store_originals,
        )
    except BaseException:
        await vectors.close()
        raise
    batching = BatchingEncoder(encoder, batch_size=settings.batch_size, max_queue=settings.max_queue, metrics=metrics)
    limits = Limits(settings.max_pixels, settings.decode_timeout, settings.decode_threads)
    return SearchEngine(
        model=RunningModel(encoder.spec, encoder.device, encoder.precision, fallback_reason),
        embedder=ImageEmbedder(encoder, batching, cache, metrics, limits),
        vectors=vectors,
        storage=storage,
        cache=cache,
        metrics=metrics,
    )


async def initialize(settings: Settings) -> CollectionInfo:
    """Make the collection for the model, unless it is there. Raises as `build_engine` does."""
    engine = await build_engine(settings)
    try:
        return (await engine.stats()).collection
    finally:
        await engine.close()


async def optimize(settings: Settings) -> CollectionInfo:
    """Build the search graph of a collection that no server has open.

    Raises InvalidRequest where there is no collection, StoreLocked, StoreUnavailable.
    """
    folder = collection_folder(settings)
    found = peek(folder)
    if found is None:
        raise InvalidRequest(f"There is no collection in {folder}; index some images first.")
    vectors = EmbeddedStore.open(folder, found.meta)
    try:
        await vectors.optimize()
        return await vectors.info()
    finally:
        await vectors.close()


def open_collection(settings: Settings, encoder: Encoder) -> EmbeddedStore:
    """Open the collection for a model's embeddings, or make it; raises as `EmbeddedStore.open` does."""
    return EmbeddedStore.open(collection_folder(settings), CollectionMeta(encoder.spec.name, encoder.spec.dimension))


def collection_folder(settings: Settings) -> Path:
    """Return where the embedded collection lies."""
    return settings.data_dir / "collections" / settings.qdrant_collection_name


def load_encoder(name: str, settings: Settings) -> Encoder:
    """Load a model onto the device of the settings. Raises ModelUnavailable."""
    # torch and transformers take seconds to import, which a command that needs no model is spared.
    if name == MINI.name:
        from image_similarity.encoders.mini import MiniEncoder

        return MiniEncoder.load(device=settings.device, precision=settings.precision)
    from image_similarity.encoders.clip import ClipEncoder

    return ClipEncoder.load(name, device=settings.device, precision=settings.precision)


def _load_model(settings: Settings, found: Found | None) -> tuple[Encoder, str | None]:
    """Return the model to run and, where it is the stand-in, why.

    A collection that holds images decides: an unset MODEL_NAME follows it, a set one must agree with it.
    """
    filled = found.meta.model if found is not None and found.images else None
    wanted = filled if filled and "model_name" not in settings.model_fields_set else settings.model_name
    try:
        return load_encoder(wanted, settings), None
    except ModelUnavailable as error:
        if not settings.model_fallback or hub.is_path(wanted) or wanted == MINI.name:
            raise
        if filled not in (None, MINI.name):
            raise ModelMismatch(
                f"The collection was made with {filled}. {error} The offline model mini cannot search it."
            ) from error
        get_logger().warning("model_fallback", wanted=wanted, running=MINI.name, reason=str(error))
        return load_encoder(MINI.name, settings), str(error)
