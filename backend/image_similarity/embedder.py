"""From the bytes of an image to its embedding: the first half of the road, with its short-cuts."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from image_similarity.cache.base import Cache, Kind
from image_similarity.cache.single_flight import SingleFlight
from image_similarity.domain import DecodeTimeout, Embedding, Pixels
from image_similarity.encoders.base import Encoder
from image_similarity.encoders.batching import Batching
from image_similarity.images.decode import DecodedImage, decode
from image_similarity.images.thumbnail import make_thumbnail
from image_similarity.telemetry.metrics import Metrics
from image_similarity.telemetry.tracing import span

T = TypeVar("T")

Preprocess = Callable[[Image.Image], Pixels]
"""Makes a model's input of an upright RGB image; safe in many threads."""

THUMBNAIL_SIDE = 320
"""Longest side of a thumbnail, in pixels; decoding at a reduced scale never goes below it."""

_LARGE = 256 * 1024
"""Bytes above which hashing (0.5 ms a megabyte) is worth a hop to another thread."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one image may cost."""

    max_pixels: int
    decode_timeout: float
    """Seconds."""
    decode_threads: int


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """All that indexing an image needs to know of it."""

    embedding: Embedding
    thumbnail: bytes
    """WebP."""
    width: int
    height: int
    format: str
    for_tagger: Pixels | None = None
    """What a tagger looks at, where it was asked for."""


class ImageEmbedder:
    """Decodes in threads, encodes in batches, remembers embeddings by content, and does identical work once.

    `embed` and `prepare` raise ImageUndecodable, ImageTooLarge, UnsupportedFormat, DecodeTimeout, Overloaded and
    EncodingFailed.
    """

    def __init__(
        self, encoder: Encoder, batching: Batching[Pixels, Embedding], cache: Cache, metrics: Metrics, limits: Limits
    ) -> None:
        self._encoder = encoder
        self._batching = batching
        self._model = f"{encoder.spec.name}@{encoder.fingerprint}"
        self._cache = cache
        self._metrics = metrics
        self._limits = limits
        self._threads = ThreadPoolExecutor(limits.decode_threads, thread_name_prefix="decode")
        self._free_thread = asyncio.Semaphore(limits.decode_threads)
        self._embedding = SingleFlight[Embedding]()

    @property
    def queue_depth(self) -> int:
        """How many images are being decoded or wait for the model."""
        return self._batching.depth

    async def digest(self, data: bytes) -> str:
        """Return the sha256 of the bytes, in hex."""
        if len(data) < _LARGE:
            return hashlib.sha256(data).hexdigest()
        return await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())

    def count_query(self, digest: str) -> None:
        """Note that a search asked for this embedding, so that a new replica can start with the popular ones."""
        self._cache.count_query(self._key(digest))

    async def embed(self, data: bytes, digest: str) -> Embedding:
        """Return the unit vector of an image, shape (dimension,); `digest` is the sha256 of `data`."""
        if (cached := await self._recall(digest)) is not None:
            return cached
        return await self._embedding.run(digest, lambda: self._compute(data, digest))

    async def prepare(self, data: bytes, digest: str, for_tagger: Preprocess | None = None) -> PreparedImage:
        """Return an image's embedding and, from the same decoding, its thumbnail, size and a tagger's input."""
        with self._batching.place():
            with span("decode"):
                decoded, pixels, thumbnail = await self._in_thread(lambda: self._decode_for_index(data))
                seen = await self._in_thread(lambda: for_tagger(decoded.image)) if for_tagger is not None else None
            embedding = await self._recall(digest)
            if embedding is None:
                embedding = await self._encode(pixels, digest)
        return PreparedImage(embedding, thumbnail, decoded.width, decoded.height, decoded.format, seen)

    async def decode_for(self, data: bytes, preprocess: Preprocess, *, min_side: int) -> Pixels:
        """Return what `preprocess` makes of an image, decoded to no fewer pixels than `min_side` a side."""
        with self._batching.place(), span("decode"):
            return await self._in_thread(lambda: preprocess(self._decode(data, min_side=min_side).image))

    def close(self) -> None:
        """Finish what is under way and stop the threads."""
        self._batching.close()
        self._threads.shutdown(cancel_futures=True)

    async def _compute(self, data: bytes, digest: str) -> Embedding:
        with self._batching.place():
            with span("decode"):
                pixels = await self._in_thread(lambda: self._encoder.preprocess(self._decode(data).image))
            return await self._encode(pixels, digest)

    async def _encode(self, pixels: Pixels, digest: str) -> Embedding:
        # The wait for the model included; the batch itself is many traces' and in the metrics.
        with span("encode"):
            embedding = await self._batching.encode(pixels)
        await self._cache.set(Kind.EMBEDDING, self._key(digest), embedding.tobytes())
        return embedding

    async def _recall(self, digest: str) -> Embedding | None:
        with span("cache"):
            cached = await self._cache.get(Kind.EMBEDDING, self._key(digest))
        return None if cached is None else np.frombuffer(cached, dtype=np.float32)

    def _key(self, digest: str) -> str:
        return f"{self._model}:{digest}"

    def _decode_for_index(self, data: bytes) -> tuple[DecodedImage, Pixels, bytes]:
        decoded = self._decode(data)
        thumbnail = make_thumbnail(decoded.image, max_side=THUMBNAIL_SIDE)
        return decoded, self._encoder.preprocess(decoded.image), thumbnail

    def _decode(self, data: bytes, *, min_side: int = 0) -> DecodedImage:
        with self._metrics.stage("decode"):
            # Searching and indexing decode alike, so that an indexed image finds itself with a score of 1.
            return decode(
                data,
                max_pixels=self._limits.max_pixels,
                min_short_side=max(min_side, self._encoder.spec.input_size),
                min_long_side=THUMBNAIL_SIDE,
            )

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # Waited for outside the time limit, so that a crowd is not taken for a slow image.
        await self._free_thread.acquire()
        call = asyncio.get_running_loop().run_in_executor(self._threads, work)
        # A thread cannot be stopped: one that outlasts its image's time is free only once it has finished.
        call.add_done_callback(lambda _: self._free_thread.release())
        try:
            return await asyncio.wait_for(asyncio.shield(call), self._limits.decode_timeout)
        except TimeoutError as error:
            call.add_done_callback(_ignore_outcome)
            raise DecodeTimeout(
                f"Decoding the image took longer than {self._limits.decode_timeout:g} s; send a smaller one."
            ) from error


def _ignore_outcome(call: asyncio.Future[Any]) -> None:
    # Marks an error as seen: nobody waits for it any more.
    if not call.cancelled():
        call.exception()
