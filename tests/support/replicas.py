"""Several engines over one store and one Redis, as several processes would be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from image_similarity.cache.base import Cache
from image_similarity.cache.local import LocalCache
from image_similarity.cache.redis import RedisCache
from image_similarity.cache.tiered import TieredCache
from image_similarity.domain.records import Embedding, ImageRecord, Match
from image_similarity.engine.collection.idempotency import Repeats
from image_similarity.engine.collection.tagging import MetadataTagger
from image_similarity.engine.collection.trash import Trash
from image_similarity.engine.collection.unsettled import Notes, Settler
from image_similarity.engine.collection.writer import CollectionWriter
from image_similarity.engine.embedding.batching import batch_images
from image_similarity.engine.embedding.images import ImageEmbedder
from image_similarity.engine.embedding.texts import TextEmbedder
from image_similarity.engine.feedback.log import FeedbackLog
from image_similarity.engine.search_engine import SearchEngine
from image_similarity.engine.stats import ModelInfo
from image_similarity.filesystem.free_space import DATA, DiskSpace
from image_similarity.images.decoders import Decoders
from image_similarity.images.fetch import UrlFetcher
from image_similarity.storage.images import ImageStorage
from image_similarity.storage.objects import Objects
from image_similarity.tagging.base import NoTagger, Tagger
from image_similarity.telemetry.metrics import Metrics
from image_similarity.vectors.base import VectorStore
from tests.support.encoders import ColourEncoder, ColourWords

TIMEOUT = 1.0
"""Seconds; far more than the default, for machines that run many tests at once."""

SHORT_TIMEOUT = 0.1
"""Seconds, where a test has Redis hang, and would wait for the timeout again and again."""


def redis_cache(url: str, **options: Any) -> RedisCache:
    given = {"namespace": "test", "ttl": 600, "timeout": TIMEOUT, "metrics": Metrics(), **options}
    return RedisCache(url, **given)


def tiered_cache(url: str, **options: Any) -> TieredCache:
    metrics = Metrics()
    local = LocalCache(max_entries=1000, max_bytes=10_000_000, ttl=600, metrics=metrics)
    return TieredCache(local, redis_cache(url, metrics=metrics, on_change=local.drop_results, **options))


class SharedStore:
    """The part of `VectorStore` that writing and searching need, in memory; each call takes a random while."""

    def __init__(self, random: Random | None = None) -> None:
        self._random = random
        self._records: dict[str, ImageRecord] = {}
        self._vectors: dict[str, Embedding] = {}
        self.queries = 0

    async def upsert(self, points: Sequence[tuple[ImageRecord, Embedding]]) -> None:
        await self._dawdle()
        self._records.update({record.image_id: record for record, _ in points})
        self._vectors.update({record.image_id: vector for record, vector in points})
        await self._dawdle()

    async def query(self, vector: Embedding, *, top_k: int, **_: Any) -> list[Match]:
        self.queries += 1
        await self._dawdle()
        found = [
            Match(record.image_id, 1.0, record.sha256, record.width, record.height, record.metadata)
            for record in self._records.values()
        ][:top_k]
        await self._dawdle()
        return found

    async def get(self, image_id: str) -> ImageRecord | None:
        return self._records.get(image_id)

    async def get_vector(self, image_id: str) -> Embedding | None:
        return self._vectors[image_id] if image_id in self._records else None

    async def put(self, record: ImageRecord, vector: Embedding, before: ImageRecord | None) -> bool:
        await self.upsert([(record, vector)])
        return True

    async def delete(self, image_id: str, *, revision: str | None = None) -> ImageRecord | None:
        await self._dawdle()
        return self._records.pop(image_id, None)

    async def count_content(self, sha256: str) -> int:
        await self._dawdle()
        count = sum(record.sha256 == sha256 for record in self._records.values())
        await self._dawdle()
        return count

    async def close(self) -> None:
        pass

    async def _dawdle(self) -> None:
        if self._random is not None:
            await asyncio.sleep(self._random.choice((0, 0, 0.001, 0.005)))


def engine_over(
    store: SharedStore | VectorStore,
    cache: Cache,
    folder: Path,
    *,
    tagger: Tagger | None = None,
    notes: Notes | None = None,
    metrics: Metrics | None = None,
) -> SearchEngine:
    """Put an engine together; `notes` is what the store was given."""
    encoder, metrics = ColourEncoder(), metrics or Metrics()
    batching = batch_images(encoder, batch_size=8, max_queue=64, metrics=metrics)
    decoders = Decoders((), metrics, isolation="thread", count=1, timeout=60, memory=1 << 30)
    storage = ImageStorage.open(None, default=folder / "images", store_originals=True)
    records = Objects.open(None, default=folder)
    trash = Trash(
        records,
        storage,
        store,  # type: ignore[arg-type]
        collection="photos",
        model=encoder.spec.name,
        alone=False,
    )
    vectors: Any = store
    settler = Settler(notes or Notes(records, metrics, collection="photos"), vectors, cache, trash, metrics)
    return SearchEngine(
        model=ModelInfo(encoder.spec, encoder.device, encoder.precision),
        embedder=ImageEmbedder(encoder, batching, cache, decoders, max_pixels=1_000_000),
        texts=TextEmbedder(ColourWords(), cache, metrics, batch_size=8, max_queue=64),
        urls=UrlFetcher(enabled=False, max_bytes=1_000_000, timeout=30),
        feedback=FeedbackLog(
            Objects.open(None, default=folder), collection="photos", model=encoder.spec.name, retention=0
        ),
        filler=MetadataTagger(tagger or NoTagger(), metrics),
        vectors=vectors,
        storage=storage,
        writes=CollectionWriter(
            vectors, storage, cache, trash, metrics, Repeats(records, collection="photos"), settler
        ),
        cache=cache,
        metrics=metrics,
        disk=DiskSpace({DATA: folder}, min_free=0, metrics=metrics),
    )


@asynccontextmanager
async def replicas(
    url: str, folder: Path, *, count: int = 2, random: Random | None = None, **options: Any
) -> AsyncIterator[list[SearchEngine]]:
    """Run engines that have nothing in common but the store, the bytes and the Redis."""
    store = SharedStore(random)
    async with AsyncExitStack() as stack:
        engines = [engine_over(store, tiered_cache(url, **options), folder) for _ in range(count)]
        for engine in engines:
            stack.push_async_callback(engine.close)
        yield engines
