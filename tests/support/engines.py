"""An engine on a folder, with the encoder of the tests and stores that fail when told to."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from image_similarity.cache.local import LocalCache
from image_similarity.domain.queries import SearchOptions
from image_similarity.engine.collection.idempotency import Repeats
from image_similarity.engine.collection.tagging import MetadataTagger
from image_similarity.engine.collection.trash import Trash
from image_similarity.engine.collection.writer import CollectionWriter
from image_similarity.engine.embedding.batching import batch_images
from image_similarity.engine.embedding.images import ImageEmbedder
from image_similarity.engine.embedding.texts import TextEmbedder
from image_similarity.engine.feedback.log import FeedbackLog
from image_similarity.engine.search.calibration import Calibrations
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.engine.stats import ModelInfo
from image_similarity.filesystem.free_space import DATA, DiskSpace
from image_similarity.images.decoders import Decoders
from image_similarity.images.fetch import UrlFetcher
from image_similarity.storage.images import ImageStorage
from image_similarity.storage.objects import Objects
from image_similarity.tagging.base import NoTagger, Tagger
from image_similarity.telemetry.metrics import Metrics
from image_similarity.vectors.qdrant_edge.store import CollectionMeta, EmbeddedStore
from tests.support.encoders import ColourEncoder, ColourWords


def picture(red: int, green: int, blue: int) -> bytes:
    """Return a PNG of one colour."""
    out = BytesIO()
    Image.new("RGB", (48, 40), (red, green, blue)).save(out, "PNG")
    return out.getvalue()


RED, ORANGE, BLUE = picture(250, 0, 0), picture(250, 90, 0), picture(0, 0, 250)
TOP = SearchOptions(top_k=10)


@dataclass(frozen=True, slots=True)
class EngineUnderTest:
    """An engine and its parts, within reach of a test."""

    engine: SearchEngine
    encoder: ColourEncoder
    words: ColourWords
    cache: LocalCache
    vectors: EmbeddedStore
    storage: ImageStorage
    trash: Trash
    folder: Path
    """Of the image bytes."""

    def stored(self) -> set[str]:
        """Return the digests of the content whose original and whose thumbnail are there; half a content fails."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        originals = {path.name for path in files if path.suffix == ""}
        thumbnails = {path.stem for path in files if path.suffix == ".webp"}
        assert originals == thumbnails
        return originals


@asynccontextmanager
async def running_engine(
    data_dir: Path,
    *,
    max_queue: int = 64,
    decode_timeout: float = 60,
    decode_threads: int = 2,
    calibrations: Calibrations | None = None,
    tagger: Tagger | None = None,
    collection: str = "photos",
    images: Path | None = None,
    neighbours: Collection[str] = (),
) -> AsyncIterator[EngineUnderTest]:
    """Put an engine together, and take it apart at the end; `images` is the folder of its storage."""
    encoder, words = ColourEncoder(), ColourWords()
    metrics = Metrics()
    cache = LocalCache(max_entries=1000, max_bytes=10_000_000, ttl=3600, metrics=metrics)
    vectors = EmbeddedStore.open(data_dir / "photos", CollectionMeta(encoder.spec.name, encoder.spec.dimension))
    storage = ImageStorage.open(None, default=images or data_dir / "images", store_originals=True)
    trash = Trash(
        Objects.open(None, default=data_dir),
        storage,
        vectors,
        collection=collection,
        model=encoder.spec.name,
        alone=True,
        neighbours=neighbours,
    )
    batching = batch_images(encoder, batch_size=8, max_queue=max_queue, metrics=metrics)
    filler = MetadataTagger(tagger or NoTagger(), metrics)
    # In threads, because the encoder of the tests has a memory.
    decoders = Decoders(
        (),
        metrics,
        isolation="thread",
        count=decode_threads,
        timeout=decode_timeout,
        memory=1 << 30,
    )
    engine = SearchEngine(
        model=ModelInfo(encoder.spec, encoder.device, encoder.precision, calibrations=calibrations or {}),
        embedder=ImageEmbedder(encoder, batching, cache, decoders, max_pixels=1_000_000),
        texts=TextEmbedder(words, cache, metrics, batch_size=8, max_queue=max_queue),
        urls=UrlFetcher(enabled=True, max_bytes=1_000_000, timeout=30, allow=["127.0.0.0/8"]),
        feedback=FeedbackLog(
            Objects.open(None, default=data_dir), collection="photos", model=encoder.spec.name, retention=0
        ),
        filler=filler,
        vectors=vectors,
        storage=storage,
        writes=CollectionWriter(
            vectors,
            storage,
            cache,
            trash,
            metrics,
            Repeats(Objects.open(None, default=data_dir), collection="photos"),
            None,
        ),
        cache=cache,
        metrics=metrics,
        # How much room this machine has is nothing that tests depend on.
        disk=DiskSpace({DATA: data_dir}, min_free=0, metrics=metrics),
        own_store=True,
    )
    try:
        yield EngineUnderTest(engine, encoder, words, cache, vectors, storage, trash, images or data_dir / "images")
    finally:
        encoder.release()
        await engine.close()


def digest(data: bytes) -> str:
    """Return what the engine knows a content by."""
    return hashlib.sha256(data).hexdigest()


async def found(rig: EngineUnderTest, data: bytes = RED, options: SearchOptions = TOP) -> list[str]:
    """Return the ids of the images that look like one, best first."""
    return [match.image_id for match in (await rig.engine.search_by_image(data, options)).matches]
